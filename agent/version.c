// SPDX-License-Identifier: Apache-2.0
// What this build is; the only file that the build gives CROFT_VERSION.

#include "agent/version.h"

#include "vmm/base.h"

#ifndef CROFT_VERSION
#define CROFT_VERSION "unknown"
#endif

#ifdef __clang__
#define VERSION_COMPILER "clang " __clang_version__
#else
#define VERSION_COMPILER "gcc " __VERSION__
#endif

#if defined(__aarch64__)
#define VERSION_ARCH "arm64"
#elif defined(__x86_64__)
#define VERSION_ARCH "amd64"
#else
#define VERSION_ARCH "other"
#endif

const char *version_string(void)
{
	return CROFT_VERSION;
}

const char *version_api(void)
{
	return "v1";
}

const char *version_build(void)
{
	return VERSION_COMPILER " " VERSION_ARCH;
}
