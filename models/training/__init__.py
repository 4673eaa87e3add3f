"""Train, evaluate, calibrate and export a recognizer."""
