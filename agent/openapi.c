// SPDX-License-Identifier: Apache-2.0
// Puts api/openapi/croft.yaml into the program; the makefile has the object depend on it.

#include "agent/openapi.h"

asm(".pushsection .rodata\n"
    ".global openapi_text\n"
    ".hidden openapi_text\n"
    "openapi_text:\n"
    ".incbin \"api/openapi/croft.yaml\"\n"
    ".byte 0\n"
    ".popsection\n");
