"""A client for Rollcall: who is this, among the people I have enrolled?

with Rollcall("http://127.0.0.1:8000") as rollcall:
    rollcall.enroll("ann.jpg", name="Ann")
    print(rollcall.identify("group.jpg", max_faces=0).faces)
"""

from rollcall_client.address import VERSION as __version__
from rollcall_client.bulk import Outcome
from rollcall_client.call import Call, Page
from rollcall_client.calls import UNSET
from rollcall_client.client import AsyncRollcall, Rollcall
from rollcall_client.errors import RollcallError
from rollcall_client.uploads import Upload
from rollcall_client.wishes import Enrolment, Probe

__all__ = [
    "UNSET",
    "AsyncRollcall",
    "Call",
    "Enrolment",
    "Outcome",
    "Page",
    "Probe",
    "Rollcall",
    "RollcallError",
    "Upload",
    "__version__",
]
