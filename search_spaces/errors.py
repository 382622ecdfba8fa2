"""The errors a user can meet: one base class, one clear line each."""

from __future__ import annotations


class NasError(Exception):
    """Base of every error that tells a user what is wrong and what would be right."""


class SpecError(NasError, ValueError):
    """A block, architecture or space that breaks a rule."""


class UnknownName(NasError, LookupError):
    """A name that no registry entry carries."""


class BudgetError(NasError, ValueError):
    """A budget that no architecture meets."""


class DataError(NasError, ValueError):
    """Images or labels that are missing, empty or unreadable."""


class CandidateError(NasError, RuntimeError):
    """One candidate that cannot be evaluated; the search records it and goes on."""
