/* The public header must compile as C; this file does nothing else. */
#include "continual_native.h"

int32_t header_is_c(void);

int32_t header_is_c(void) {
    return CN_INTERFACE_VERSION;
}
