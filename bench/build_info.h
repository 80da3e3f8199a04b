/* What this program was built from and with: for --version, env.json and build_id. */
#ifndef VG_BUILD_INFO_H
#define VG_BUILD_INFO_H

#include <stdbool.h>

typedef struct vg_build_info {
    const char *version;   /* "0.1.0" */
    const char *commit;    /* 12 hexadecimal digits; "" outside a checkout */
    bool dirty;            /* tracked files differed from the commit */
    const char *compiler;  /* "GNU 12.2.0" */
    const char *flags;     /* of C sources, the build type's included */
    const char *hwloc;     /* versions; "" = built without */
    const char *benchmark; /* Google Benchmark */
    const char *jansson;
    const char *parts; /* compilers and libraries of devices: "nvcc 13.0.88 for sm_90, cuDNN 9.1" */
} vg_build_info;

const vg_build_info *vg_build_info_get(void);

#endif
