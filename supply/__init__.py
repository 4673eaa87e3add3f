"""What goes into the image and under which terms: SBOM, licences, known vulnerabilities."""
