"""What can go wrong in understanding.

IntentsError
├── ModelMissing
├── ModelBroken
├── TrainingRefused
└── PublishRefused
"""

from __future__ import annotations


class IntentsError(Exception):
    """The root of every error of this ring."""


class ModelMissing(IntentsError):
    """There is no model at the given place; train and promote one."""


class ModelBroken(IntentsError):
    """A model folder is damaged or of another make; go back to the one before or train again."""


class TrainingRefused(IntentsError):
    """The examples do not allow a model; the message says what is missing."""


class PublishRefused(IntentsError):
    """A model does worse than the one in force at what must not get worse; the message says where."""
