"""The emulator's errors.

EmulatorError
├── ApiError        the platform's answer to a call: an errcode of the fact sheet
├── PhoneError      something a person cannot do on the phone now; the message says why
└── CryptoError     a packet that is not what its signature, key or receive id promises
"""

from __future__ import annotations


class EmulatorError(Exception):
    """Any refusal of the emulator."""


class ApiError(EmulatorError):
    """An API call that the platform answers with this errcode; HTTP stays 200."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"{errcode} {errmsg}")
        self.errcode = errcode
        self.errmsg = errmsg


class PhoneError(EmulatorError):
    """An act that the person's phone would not allow."""


class CryptoError(EmulatorError):
    """A packet whose signature, padding, length or receive id is wrong."""
