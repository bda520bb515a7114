"""The suites that ship are what they were: their own files, fixtures and schemas decide their digests, nothing else.

A run, a certificate and a published number name the environment by its digest. Whoever changes one of these suites
raises its version, and writes the new digest here.
"""

import pytest

from practicum.suites.code_repair import CodeRepair
from practicum.suites.sql_analyst import SqlAnalyst
from practicum.suites.support_desk import SupportDesk
from practicum.suites.warehouse import Warehouse


@pytest.mark.parametrize(
    ("suite", "version", "digest"),
    [
        (SupportDesk, "1.4.0", "44707cc5f2c02695bfe0278f80bedb04a2c30916ead3b7e6813dd4f342583b97"),
        (Warehouse, "1.0.0", "36097ae314612a02d46c43fae4b1f417e4abd59a342f6740b69ff04ace536ee7"),
        (SqlAnalyst, "1.0.0", "2d6bf3d808b509b8e7b2010d2c60d9dd818155d768c652d032967c60ede86d1c"),
        (CodeRepair, "1.0.0", "29cf5806ef8374d16445d54a79151a36d213ea54207a32ef59f1ef94935557da"),
    ],
)
def test_a_suite_of_a_version_has_the_digest_it_had(suite, version, digest):
    desk = suite()
    assert (desk.version, desk.digest) == (version, digest)
