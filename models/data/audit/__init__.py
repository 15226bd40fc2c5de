"""What is in a set of recordings, and what is wrong with it, before a policy is trained on it."""

from .document import write_json
from .flags import Flag, Severity
from .page import write_page
from .run import Audit, audit
from .table import flag_table, overall_table

__all__ = ["Audit", "Flag", "Severity", "audit", "flag_table", "overall_table", "write_json", "write_page"]
