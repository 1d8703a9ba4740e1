#pragma once
// First: gRPC's headers define _GNU_SOURCE, which must not change what glibc's types are to Swift.
#include <features.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

// Macros with arguments and unions without a name are not seen from Swift.

static inline const uint8_t *annals_slice_bytes(const grpc_slice *slice) { return GRPC_SLICE_START_PTR(*slice); }
static inline size_t annals_slice_length(const grpc_slice *slice) { return GRPC_SLICE_LENGTH(*slice); }

static inline grpc_arg annals_argument(const char *name, int value) {
  grpc_arg argument = {.type = GRPC_ARG_INTEGER, .key = (char *)name};
  argument.value.integer = value;
  return argument;
}

static inline grpc_arg annals_quota_argument(grpc_resource_quota *quota) {
  grpc_arg argument = {.type = GRPC_ARG_POINTER, .key = (char *)GRPC_ARG_RESOURCE_QUOTA};
  argument.value.pointer.p = quota;
  argument.value.pointer.vtable = grpc_resource_quota_arg_vtable();
  return argument;
}
