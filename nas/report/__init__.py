"""The report of a run: one HTML file that needs neither network nor server."""

from .page import write_report

__all__ = ["write_report"]
