# SPDX-License-Identifier: Apache-2.0
"""The contract by foreign linters: Redocly's on the OpenAPI file, buf's on the protos."""

import tools
from harness import TOP


def test_openapi_by_redocly(_agent):
    status, text = tools.node("openapi_lint.mjs", f"{TOP}/api/openapi/croft.yaml")
    assert status == 0 and not text, text


def test_protos_by_buf(_agent):
    status, text = tools.buf("lint", "api/proto")
    assert status == 0, text


def test_protos_are_formatted(_agent):
    """`buf format -w api/proto` lays them out."""
    status, text = tools.buf("format", "api/proto", "--diff", "--exit-code")
    assert status == 0, text
