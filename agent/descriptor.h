/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's own description: the proto files of api/proto as protoc compiled them, embedded in the program, and look-ups in
 * them.
 */
#ifndef CROFT_AGENT_DESCRIPTOR_H
#define CROFT_AGENT_DESCRIPTOR_H

#include <protobuf-c/protobuf-c.h>

#include "vmm/base.h"

#define DESCRIPTOR_FILES_MAX 64 /* files of the API, and what they import */

/* Files by their numbers, 0 to descriptor_files() - 1; they are in an order in which each stands behind what it imports. */
size_t descriptor_files(void);
/* The file as a serialized google.protobuf.FileDescriptorProto; lives as long as the program. */
ProtobufCBinaryData descriptor_file(size_t file);

/* -ENOENT when there is none: of a file's name ("croft/v1/vm.proto"); of the file that defines a full name. */
int descriptor_find_file(const char *name);
int descriptor_find_symbol(const char *symbol);
/* Whether it is the full name of a message. */
bool descriptor_is_message(const char *symbol);

/* A bit for the file, and for each file that it needs. */
uint64_t descriptor_closure(size_t file);

/* Calls `each` with the full name of every service; ends with the first negative result. */
int descriptor_services(int (*each)(void *data, const char *name), void *data);

#endif
