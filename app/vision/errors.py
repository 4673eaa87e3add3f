"""What vision refuses, and why. Families and statuses are decided in `app.errors` and the API.

Every code here is stable; every message says what is wrong with the image, the pack or the device
and what to do about it.
"""

from app.errors import BadRequest, CannotStart, ImageRefused, Unavailable


class ImageEmpty(ImageRefused):
    """No bytes came."""

    code = "image_empty"


class ImageTypeUnsupported(ImageRefused):
    """The content is neither JPEG, PNG nor WebP, whatever its name says."""

    code = "image_type_unsupported"


class ImageTooLarge(ImageRefused):
    """More bytes or more pixels than the settings allow; known before a pixel is decoded."""

    code = "image_too_large"


class ImageBroken(ImageRefused):
    """Truncated, corrupt, or in a form that no decoder here reads. Never half a picture."""

    code = "image_broken"


class ImageAnimated(ImageRefused):
    """More than one frame: which one is meant, only the caller knows."""

    code = "image_animated"


class FaceNotFound(ImageRefused):
    code = "face_not_found"

    def __init__(self) -> None:
        super().__init__(
            "No face was found. Send an upright picture in which the face is lit, sharp and at "
            "least 40 pixels wide."
        )


class SeveralFaces(ImageRefused):
    code = "several_faces"

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} faces were found where one was expected. Crop the picture to the person "
            "meant, or ask for the largest face.",
            faces=count,
        )


class TargetUnsupported(BadRequest):
    """An error rate that the calibration's counts cannot vouch for."""

    code = "target_unsupported"


class EmbeddingFailed(Unavailable):
    """The recognizer answered with something that is not a direction: NaN, infinite or zero."""

    code = "embedding_failed"


class DeviceFailed(Unavailable):
    """The device ran out of memory or was lost while it computed."""

    code = "device_failed"


class DecoderUnavailable(Unavailable):
    """No process can be started to decode images in."""

    code = "decoder_unavailable"


class PackInvalid(CannotStart):
    """A pack whose files are not what they should be. The message names the file."""

    code = "pack_invalid"


class ProviderUnavailable(CannotStart):
    """The device asked for cannot be used. There is no silent fall-back to another."""

    code = "provider_unavailable"
