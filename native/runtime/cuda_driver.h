// The part of the CUDA driver's interface that is used, opened at run time: no header, no import library, no toolkit. Names, values and signatures are those of NVIDIA's
// documentation of the driver API (CUDA 11.5 and later).
#pragma once

#include "runtime/library.h"

#include <cstddef>
#include <cstdint>

namespace continual {

using cu_result = int32_t;
using cu_device = int32_t;
using cu_address = uint64_t;
struct cu_context_handle;
struct cu_module_handle;
struct cu_function_handle;
struct cu_stream_handle;
struct cu_event_handle;
using cu_context = cu_context_handle *;
using cu_module = cu_module_handle *;
using cu_function = cu_function_handle *;
using cu_stream = cu_stream_handle *;
using cu_event = cu_event_handle *;

inline constexpr cu_result cu_success = 0;
inline constexpr cu_result cu_out_of_memory = 2;

inline constexpr int32_t cu_attribute_multiprocessors = 16;
inline constexpr int32_t cu_attribute_capability_major = 75;
inline constexpr int32_t cu_attribute_capability_minor = 76;
inline constexpr int32_t cu_attribute_shared_optin = 97;
inline constexpr int32_t cu_function_shared_bytes = 8;
inline constexpr int32_t cu_jit_error_log = 5;
inline constexpr int32_t cu_jit_error_log_bytes = 6;
inline constexpr uint32_t cu_stream_non_blocking = 1;
inline constexpr uint32_t cu_event_blocking = 1;
inline constexpr uint32_t cu_event_without_timing = 2;

// CN_DRIVER_FUNCTIONS(f): f(member, symbol, parameters).
#define CN_DRIVER_FUNCTIONS(f)                                                                                                    \
    f(init, "cuInit", (uint32_t))                                                                                                 \
    f(driver_version, "cuDriverGetVersion", (int32_t *))                                                                          \
    f(error_name, "cuGetErrorName", (cu_result, const char **))                                                                   \
    f(error_text, "cuGetErrorString", (cu_result, const char **))                                                                 \
    f(device_count, "cuDeviceGetCount", (int32_t *))                                                                              \
    f(device_get, "cuDeviceGet", (cu_device *, int32_t))                                                                          \
    f(device_name, "cuDeviceGetName", (char *, int32_t, cu_device))                                                               \
    f(device_attribute, "cuDeviceGetAttribute", (int32_t *, int32_t, cu_device))                                                  \
    f(context_retain, "cuDevicePrimaryCtxRetain", (cu_context *, cu_device))                                                      \
    f(context_release, "cuDevicePrimaryCtxRelease_v2", (cu_device))                                                               \
    f(context_push, "cuCtxPushCurrent_v2", (cu_context))                                                                          \
    f(context_pop, "cuCtxPopCurrent_v2", (cu_context *))                                                                          \
    f(context_priorities, "cuCtxGetStreamPriorityRange", (int32_t *, int32_t *))                                                  \
    f(memory_info, "cuMemGetInfo_v2", (size_t *, size_t *))                                                                       \
    f(memory_allocate, "cuMemAlloc_v2", (cu_address *, size_t))                                                                   \
    f(memory_free, "cuMemFree_v2", (cu_address))                                                                                  \
    f(host_allocate, "cuMemHostAlloc", (void **, size_t, uint32_t))                                                               \
    f(host_free, "cuMemFreeHost", (void *))                                                                                       \
    f(copy_up, "cuMemcpyHtoDAsync_v2", (cu_address, const void *, size_t, cu_stream))                                             \
    f(copy_down, "cuMemcpyDtoHAsync_v2", (void *, cu_address, size_t, cu_stream))                                                 \
    f(copy_within, "cuMemcpyDtoDAsync_v2", (cu_address, cu_address, size_t, cu_stream))                                           \
    f(memory_set, "cuMemsetD8Async", (cu_address, uint8_t, size_t, cu_stream))                                                    \
    f(stream_create, "cuStreamCreateWithPriority", (cu_stream *, uint32_t, int32_t))                                              \
    f(stream_destroy, "cuStreamDestroy_v2", (cu_stream))                                                                          \
    f(stream_synchronize, "cuStreamSynchronize", (cu_stream))                                                                     \
    f(event_create, "cuEventCreate", (cu_event *, uint32_t))                                                                      \
    f(event_record, "cuEventRecord", (cu_event, cu_stream))                                                                       \
    f(event_synchronize, "cuEventSynchronize", (cu_event))                                                                        \
    f(event_elapsed, "cuEventElapsedTime", (float *, cu_event, cu_event))                                                         \
    f(event_destroy, "cuEventDestroy_v2", (cu_event))                                                                             \
    f(module_load, "cuModuleLoadDataEx", (cu_module *, const void *, uint32_t, int32_t *, void **))                               \
    f(module_unload, "cuModuleUnload", (cu_module))                                                                               \
    f(module_function, "cuModuleGetFunction", (cu_function *, cu_module, const char *))                                           \
    f(function_set, "cuFuncSetAttribute", (cu_function, int32_t, int32_t))                                                        \
    f(launch, "cuLaunchKernel", (cu_function, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, cu_stream, void **, void **))

#if defined(_WIN32)
#define CN_CUDA_CALL __stdcall
#else
#define CN_CUDA_CALL
#endif

struct cuda_driver {
    library from;
#define CN_DECLARE(member, symbol, parameters) cu_result(CN_CUDA_CALL * member) parameters = nullptr;
    CN_DRIVER_FUNCTIONS(CN_DECLARE)
#undef CN_DECLARE

    // Opened and initialized once. Throws error(device) saying what is missing: no driver, one too old, no device.
    static const cuda_driver & get();

    // Throws for whatever is not success: error(memory) for want of memory, else error(device) with the driver's name and text for it.
    void check(cu_result result, const char * what) const;
};

} // namespace continual
