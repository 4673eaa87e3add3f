"""What training refuses, and why."""


class TrainingDataError(ValueError):
    """Data that cannot be trained on. The message names the file and says what to do."""
