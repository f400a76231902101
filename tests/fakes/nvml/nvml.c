/* A stand-in for libnvidia-ml.so.1, as far as opsd and its peers call it: GPUs that move with time and fail on demand.
 *
 * It is driven by a text file of KEY=VALUE lines named in $FAKE_NVML, read again whenever it has changed:
 *   gpus=8                  how many there are                 profile=h100       or h200, or old: an A100 with a driver R470
 *   frozen=100              the clock stands still here (s)    speed=60           it runs so many times faster
 *   latency_us=50           each call takes so long            driver_lock=1      one call at a time, as some drivers do
 *   hang.3=1  hang.all=1    calls wait until the key is gone   lost.3=1           GPU_IS_LOST
 *   error.FUNCTION=3        returns this code; .3 for one GPU  field.185=3        the same for one field
 *   set.utilization.3=7     a raw value; also power_mw, memory_used, temperature, clock_mhz, reasons, processes, ecc
 *   set.pids.3=71,72@1/0    compute processes, under MIG with GPU and compute instance; empty: none
 *   set.field.94.3=7        a field's raw value on GPU 3       set.field.161.3.5=7  the same of one scope (here: link 5)
 *   nvlinks=18              of each GPU; 0: as passed through  nvlink5=1          counted as NVLink 5 does
 *   set.link.3.5=0          link 5 of GPU 3 is down            set.mps.3=71       clients of an MPS server, as set.pids
 *   set.process_memory.3=7  bytes that each process of GPU 3 holds
 *   calls=FILE              each call adds a line FUNCTION:GPU there
 *   xid=1:3:79,2:0:31       events SERIAL:GPU:XID, each delivered once
 *   seed=b                  a letter in the identities: another machine
 *
 * Invariant: exactly the symbols and struct layouts that nvidia-ml-py asks for; versioned structs are checked.
 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { OK, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, INSUFFICIENT_SIZE = 7, TIMEOUT = 10, FUNCTION_NOT_FOUND = 13, LOST = 15,
       VERSION_MISMATCH = 25 };
enum { MOST_GPUS = 64, MOST_KNOBS = 256, TEXT = 4096, NO_GPU = -1 };
#define GIB (1ULL << 30)

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { int index; } gpu_t;
typedef struct { char key[64]; char value[192]; } knob_t;

static gpu_t gpus[MOST_GPUS];
static knob_t knobs[MOST_KNOBS];
static int knob_count, references;
static struct timespec loaded;
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER, driver = PTHREAD_MUTEX_INITIALIZER;

/* ------------------------------------------------------------------------------------------- control file */

static void parse(FILE *file) {
    char line[TEXT];
    knob_count = 0;
    while (knob_count < MOST_KNOBS && fgets(line, sizeof line, file)) {
        char *equals = strchr(line, '=');
        if (!equals || line[0] == '#') continue;
        *equals = 0;
        equals[1 + strcspn(equals + 1, "\n")] = 0;
        snprintf(knobs[knob_count].key, sizeof knobs[0].key, "%s", line);
        snprintf(knobs[knob_count++].value, sizeof knobs[0].value, "%s", equals + 1);
    }
}

static void reread(void) { /* with `control` held */
    static struct stat seen;
    struct stat now;
    const char *path = getenv("FAKE_NVML");
    if (!path || stat(path, &now)) return;
    if (now.st_ino == seen.st_ino && now.st_size == seen.st_size && now.st_mtim.tv_sec == seen.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    parse(file);
    fclose(file);
    seen = now;
}

static int text(const char *key, char *into, size_t size) {
    int found = 0;
    pthread_mutex_lock(&control);
    reread();
    for (int i = 0; i < knob_count && !found; i++)
        if (!strcmp(knobs[i].key, key)) found = snprintf(into, size, "%s", knobs[i].value) >= 0;
    pthread_mutex_unlock(&control);
    return found;
}

static long long number(const char *key, long long missing) {
    char value[192];
    return text(key, value, sizeof value) ? strtoll(value, NULL, 0) : missing;
}

static long long of_gpu(const char *name, int index, long long missing) {
    char key[96];
    snprintf(key, sizeof key, "%s.%d", name, index);
    return number(key, missing);
}

/* ------------------------------------------------------------------------------------------ every call */

static void pause_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static double elapsed(void) {
    char value[192];
    if (text("frozen", value, sizeof value)) return strtod(value, NULL);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((double)(now.tv_sec - loaded.tv_sec) + (now.tv_nsec - loaded.tv_nsec) / 1e9) * number("speed", 1);
}

static int hangs(int index) {
    return number("hang.all", 0) || (index != NO_GPU && of_gpu("hang", index, 0));
}

static int mig_hides(const char *function), mig_hides_field(u32 field), mig_is_on(int index); /* gpm.c */
static int is_mig(gpu_t *gpu), mig_uuid(gpu_t *gpu, char *out, u32 size), mig_name(gpu_t *gpu, char *out, u32 size);
static int mig_memory(gpu_t *gpu, u64 *total, u64 *reserved, u64 *used), mig_parent(gpu_t *gpu);

static int gpu_count(void) { return (int)number("gpus", 8); }

typedef enum { H100, H200, OLD } board_t;
static board_t profile(void) {
    char value[192];
    if (!text("profile", value, sizeof value)) return H100;
    return !strcmp(value, "old") ? OLD : !strcmp(value, "h200") ? H200 : H100;
}
static int is_too_new(const char *function) { /* for a driver R470 */
    static const char *newer[] = {
        "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3",
        "nvmlDeviceGetTemperatureV", "nvmlDeviceGetMarginTemperature", "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetSramEccErrorStatus", "nvmlDeviceGetGpuFabricInfoV", "nvmlDeviceGetRepairStatus"};
    for (size_t k = 0; k < sizeof newer / sizeof *newer; k++)
        if (!strcmp(function, newer[k])) return 1;
    return !strncmp(function, "nvmlGpm", 7);
}

static void note(const char *function, int index) {
    char path[192];
    if (!text("calls", path, sizeof path)) return;
    FILE *file = fopen(path, "a");
    if (!file) return;
    fprintf(file, "%s:%d\n", function, index);
    fclose(file);
}

static int enter(const char *function, int index) {
    char key[96];
    note(function, index);
    if (profile() == OLD && is_too_new(function)) return FUNCTION_NOT_FOUND;
    if (!references && strcmp(function, "nvmlInitWithFlags")) return UNINITIALIZED;
    if (index != NO_GPU && (index < 0 || index >= MOST_GPUS)) return INVALID_ARGUMENT;
    int locked = (int)number("driver_lock", 0);
    if (locked) pthread_mutex_lock(&driver);
    long latency = number("latency_us", 0);
    if (latency) pause_us(latency);
    while (hangs(index)) pause_us(5000);
    if (locked) pthread_mutex_unlock(&driver);
    if (index != NO_GPU && of_gpu("lost", index, 0)) return LOST;
    if (index != NO_GPU && mig_hides(function) && mig_is_on(index)) return NOT_SUPPORTED;
    snprintf(key, sizeof key, "error.%s", function);
    long long code = number(key, 0);
    return (int)(code || index == NO_GPU ? code : of_gpu(key, index, 0));
}

static int index_of(gpu_t *gpu) { return gpu >= gpus && gpu < gpus + MOST_GPUS ? gpu->index : MOST_GPUS; }

#define ENTER(index)                             \
    do {                                         \
        int code_ = enter(__func__, (index));    \
        if (code_) return code_;                 \
    } while (0)
#define GPU_CALL int i = index_of(gpu); (void)i; ENTER(i)

/* ---------------------------------------------------------------------------------------------- values */

static const double IDLE_W = 90, SWING_W = 500, RATE = 0.05;
static double phase(int i) { return i * 0.7; }
static double load(int i, double t) { return 0.5 + 0.4 * sin(RATE * t + phase(i)); }
static double watts(int i) {
    long long set = of_gpu("set.power_mw", i, -1);
    return set >= 0 ? set / 1e3 : IDLE_W + SWING_W * load(i, elapsed());
}
static double joules(int i) { /* the integral of watts() */
    double t = elapsed();
    return (IDLE_W + SWING_W * 0.5) * t - SWING_W * 0.4 / RATE * (cos(RATE * t + phase(i)) - cos(phase(i)));
}
static u64 memory_used(int i) { return (u64)of_gpu("set.memory_used", i, (long long)((8 + 4 * (i % 8)) * GIB)); }
static const u64 RESERVED = GIB / 2;
static u64 memory_size(void) { return profile() == H200 ? 150754820096ULL : 80 * GIB; }
static int temperature(int i) { return (int)of_gpu("set.temperature", i, (long long)(30 + 40 * load(i, elapsed()))); }
static u64 ecc(int i, int severity, int lifetime) {
    return severity ? (u64)(lifetime && i == 5) : (u64)of_gpu("set.ecc", i, lifetime ? 10 + i : i);
}
static int links(void) { return (int)number("nvlinks", profile() == OLD ? 12 : 18); }

/* --------------------------------------------------------------------------------------------- library */

int nvmlInitWithFlags(u32 flags) {
    (void)flags;
    ENTER(NO_GPU);
    if (!references++) {
        clock_gettime(CLOCK_MONOTONIC, &loaded);
        for (int i = 0; i < MOST_GPUS; i++) gpus[i].index = i;
    }
    return OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { ENTER(NO_GPU); references--; return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stand-in"; }
int nvmlSystemGetDriverVersion(char *out, u32 size) { ENTER(NO_GPU); snprintf(out, size, "%s", profile() == OLD ? "470.57.02" : "590.48.01"); return OK; }
int nvmlSystemGetNVMLVersion(char *out, u32 size) { ENTER(NO_GPU); snprintf(out, size, "%s", profile() == OLD ? "11.470.57.02" : "13.590.48.01"); return OK; }
int nvmlSystemGetCudaDriverVersion(int *out) { ENTER(NO_GPU); *out = 13010; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { ENTER(NO_GPU); *out = profile() == OLD ? 11040 : 13010; return OK; }
int nvmlDeviceGetCount_v2(u32 *out) { ENTER(NO_GPU); *out = (u32)gpu_count(); return OK; }

/* -------------------------------------------------------------------------------------------- identity */

int nvmlDeviceGetHandleByIndex_v2(u32 index, gpu_t **out) {
    if ((int)index >= gpu_count()) return INVALID_ARGUMENT;
    ENTER((int)index);
    *out = &gpus[index];
    return OK;
}
static void name_uuid(int i, char *out, size_t size) {
    char seed[192] = "a";
    text("seed", seed, sizeof seed);
    snprintf(out, size, "GPU-%c0000000-0000-4000-8000-%012d", seed[0], i);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, gpu_t **out) {
    char name[96];
    for (int i = 0; i < gpu_count(); i++) {
        name_uuid(i, name, sizeof name);
        if (strcmp(name, uuid)) continue;
        ENTER(i);
        *out = &gpus[i];
        return OK;
    }
    return INVALID_ARGUMENT;
}
int nvmlDeviceGetIndex(gpu_t *gpu, u32 *out) { GPU_CALL; *out = (u32)i; return OK; }
int nvmlDeviceGetMinorNumber(gpu_t *gpu, u32 *out) { GPU_CALL; *out = (u32)of_gpu("set.minor", i, i); return OK; }
int nvmlDeviceGetUUID(gpu_t *gpu, char *out, u32 size) { if (is_mig(gpu)) return mig_uuid(gpu, out, size); GPU_CALL; name_uuid(i, out, size); return OK; }
static const char *NAMES[] = {"NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA A100-SXM4-80GB"};
int nvmlDeviceGetName(gpu_t *gpu, char *out, u32 size) { if (is_mig(gpu)) return mig_name(gpu, out, size); GPU_CALL; snprintf(out, size, "%s", NAMES[profile()]); return OK; }
int nvmlDeviceGetSerial(gpu_t *gpu, char *out, u32 size) { GPU_CALL; snprintf(out, size, "16500230%05d", i); return OK; }
int nvmlDeviceGetVbiosVersion(gpu_t *gpu, char *out, u32 size) { GPU_CALL; snprintf(out, size, "96.00.99.00.01"); return OK; }
typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
int nvmlDeviceGetPciInfo_v3(gpu_t *gpu, pci_t *out) {
    GPU_CALL;
    memset(out, 0, sizeof *out);
    out->bus = (u32)(0x10 + i);
    out->id = 0x233010de;
    snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
    snprintf(out->legacy, sizeof out->legacy, "0000:%02X:00.0", out->bus);
    return OK;
}

/* -------------------------------------------------------------------------------------------- readings */

typedef struct { u32 gpu, memory; } utilization_t;
int nvmlDeviceGetUtilizationRates(gpu_t *gpu, utilization_t *out) {
    GPU_CALL;
    out->gpu = (u32)of_gpu("set.utilization", i, (long long)(100 * load(i, elapsed())));
    out->memory = (u32)(40 * load(i, elapsed()));
    return OK;
}
typedef struct { u64 total, free, used; } memory_v1_t;
typedef struct { u32 version; u64 total, reserved, free, used; } memory_v2_t;
int nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_v1_t *out) { /* the reserved part counts as used here */
    GPU_CALL;
    *out = (memory_v1_t){memory_size(), memory_size() - RESERVED - memory_used(i), memory_used(i) + RESERVED};
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(gpu_t *gpu, memory_v2_t *out) {
    if (is_mig(gpu)) {
        ENTER(mig_parent(gpu));
        if (out->version != (sizeof *out | 2u << 24)) return VERSION_MISMATCH;
        int code = mig_memory(gpu, &out->total, &out->reserved, &out->used);
        out->free = out->total - out->reserved - out->used;
        return code;
    }
    GPU_CALL;
    if (out->version != (sizeof *out | 2u << 24)) return VERSION_MISMATCH;
    *out = (memory_v2_t){out->version, memory_size(), RESERVED, memory_size() - RESERVED - memory_used(i), memory_used(i)};
    return OK;
}
typedef struct { u64 total, free, used; } bar1_t;
int nvmlDeviceGetBAR1MemoryInfo(gpu_t *gpu, bar1_t *out) { GPU_CALL; *out = (bar1_t){128 * GIB, 127 * GIB, GIB}; return OK; }
int nvmlDeviceGetPowerUsage(gpu_t *gpu, u32 *out) { GPU_CALL; *out = (u32)(watts(i) * 1e3); return OK; }
int nvmlDeviceGetEnforcedPowerLimit(gpu_t *gpu, u32 *out) { GPU_CALL; *out = 700000; return OK; }
int nvmlDeviceGetPowerManagementLimit(gpu_t *gpu, u32 *out) { GPU_CALL; *out = 700000; return OK; }
int nvmlDeviceGetTotalEnergyConsumption(gpu_t *gpu, u64 *out) { GPU_CALL; *out = (u64)(joules(i) * 1e3); return OK; }
int nvmlDeviceGetTemperature(gpu_t *gpu, int sensor, u32 *out) {
    GPU_CALL;
    if (sensor) return INVALID_ARGUMENT;
    *out = (u32)temperature(i);
    return OK;
}
typedef struct { u32 version; int sensor, temperature; } temperature_t;
int nvmlDeviceGetTemperatureV(gpu_t *gpu, temperature_t *out) {
    GPU_CALL;
    if (out->version != (sizeof *out | 1u << 24)) return VERSION_MISMATCH;
    out->temperature = temperature(i);
    return OK;
}
static const u32 HIGHEST_MHZ[4] = {1980, 1980, 2619, 1545};
int nvmlDeviceGetClockInfo(gpu_t *gpu, u32 domain, u32 *out) {
    GPU_CALL;
    if (domain > 3) return INVALID_ARGUMENT;
    *out = (u32)of_gpu("set.clock_mhz", i, domain == 2 ? 2619 : (long long)(345 + 1600 * load(i, elapsed())));
    return OK;
}
int nvmlDeviceGetMaxClockInfo(gpu_t *gpu, u32 domain, u32 *out) {
    GPU_CALL;
    if (domain > 3) return INVALID_ARGUMENT;
    *out = HIGHEST_MHZ[domain];
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(gpu_t *gpu, u64 *out) { GPU_CALL; *out = (u64)of_gpu("set.reasons", i, 4); return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(gpu_t *gpu, u64 *out) { GPU_CALL; *out = (u64)of_gpu("set.reasons", i, 4); return OK; }
int nvmlDeviceGetTotalEccErrors(gpu_t *gpu, int severity, int lifetime, u64 *out) {
    GPU_CALL;
    *out = ecc(i, severity, lifetime);
    return OK;
}

#include "health.c"

/* ------------------------------------------------------------------------------------------- processes */

typedef struct { u32 pid; u64 memory; u32 gi, ci; } process_t;
enum { MOST_PROCESSES = 32 };
static u32 running(int i, const char *knob, process_t *out) {
    char key[32], value[192], *next = value;
    u32 have = 0;
    snprintf(key, sizeof key, "%s.%d", knob, i);
    if (!text(key, value, sizeof value)) {
        have = strcmp(knob, "set.pids") ? 0 : (u32)of_gpu("set.processes", i, i % 3);
        for (u32 p = 0; p < have && p < MOST_PROCESSES; p++) out[p] = (process_t){1000 + p, 0, ~0u, ~0u};
    } else for (char *one; have < MOST_PROCESSES && (one = strsep(&next, ",")) != NULL;) {
        out[have] = (process_t){0, 0, ~0u, ~0u};
        if (sscanf(one, "%u@%u/%u", &out[have].pid, &out[have].gi, &out[have].ci) >= 1) have++;
    }
    for (u32 p = 0; p < have && p < MOST_PROCESSES; p++) out[p].memory = (u64)of_gpu("set.process_memory", i, (long long)(memory_used(i) / have));
    return have < MOST_PROCESSES ? have : MOST_PROCESSES;
}
static int list(int i, const char *knob, u32 *count, process_t *out) {
    process_t found[MOST_PROCESSES];
    u32 have = running(i, knob, found), room = *count;
    *count = have;
    if (!have) return OK;
    if (!out || room < have) return INSUFFICIENT_SIZE;
    memcpy(out, found, have * sizeof *out);
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v2(gpu_t *gpu, u32 *count, process_t *out) { GPU_CALL; return list(i, "set.pids", count, out); }
int nvmlDeviceGetComputeRunningProcesses_v3(gpu_t *gpu, u32 *count, process_t *out) { GPU_CALL; return list(i, "set.pids", count, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(gpu_t *gpu, u32 *count, process_t *out) { GPU_CALL; (void)out; *count = 0; return OK; }
int nvmlDeviceGetMPSComputeRunningProcesses_v2(gpu_t *gpu, u32 *count, process_t *out) { GPU_CALL; return list(i, "set.mps", count, out); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(gpu_t *gpu, u32 *count, process_t *out) { GPU_CALL; return list(i, "set.mps", count, out); }

/* ---------------------------------------------------------------------------------------------- events */

typedef struct { u64 registered; long long delivered; } set_t;
typedef struct { gpu_t *gpu; u64 type, data; u32 gi, ci; } event_t;
enum { XID = 8 };

int nvmlEventSetCreate(set_t **out) { ENTER(NO_GPU); *out = calloc(1, sizeof(set_t)); return OK; }
int nvmlEventSetFree(set_t *set) { ENTER(NO_GPU); free(set); return OK; }
int nvmlDeviceGetSupportedEventTypes(gpu_t *gpu, u64 *out) { GPU_CALL; *out = XID | 2 | 1; return OK; }
int nvmlDeviceRegisterEvents(gpu_t *gpu, u64 types, set_t *set) {
    GPU_CALL;
    if (types & XID) set->registered |= 1ULL << i;
    return OK;
}
static int next_event(set_t *set, event_t *out) {
    char value[192];
    static long long delivered; /* of the library: what no set took is lost, and a new set sees no old event */
    if (!text("xid", value, sizeof value)) return 0;
    for (char *at = value, *end; *at; at = *end ? end + 1 : end) {
        long long serial = strtoll(at, &end, 10);
        long i = strtol(end + 1, &end, 10);
        u64 xid = strtoull(end + 1, &end, 10);
        if (serial <= delivered) continue;
        delivered = serial;
        if (!(set->registered >> i & 1)) continue;
        *out = (event_t){&gpus[i], XID, xid, ~0u, ~0u};
        return 1;
    }
    return 0;
}
int nvmlEventSetWait_v2(set_t *set, event_t *out, u32 timeout_ms) {
    ENTER(NO_GPU);
    for (u32 waited = 0;; waited += 10) {
        for (int i = 0; i < MOST_GPUS; i++)
            if (set->registered >> i & 1 && of_gpu("lost", i, 0)) return LOST;
        if (next_event(set, out)) return OK;
        if (waited >= timeout_ms) return TIMEOUT;
        pause_us(10000);
    }
}

/* ------------------------------------------------------------------------- what peers ask for besides */

#define CONSTANT(name, type, value) int name(gpu_t *gpu, type *out) { GPU_CALL; *out = (value); return OK; }
CONSTANT(nvmlDeviceGetPerformanceState, u32, 0)
CONSTANT(nvmlDeviceGetComputeMode, u32, 0)
CONSTANT(nvmlDeviceGetDisplayMode, u32, 0)
CONSTANT(nvmlDeviceGetDisplayActive, u32, 0)
CONSTANT(nvmlDeviceGetNumGpuCores, u32, 16896)
int nvmlDeviceGetPcieThroughput(gpu_t *gpu, u32 counter, u32 *out) { GPU_CALL; (void)counter; *out = 1024; return OK; }
int nvmlDeviceGetEncoderUtilization(gpu_t *gpu, u32 *out, u32 *period) { GPU_CALL; *out = 0; *period = 1000000; return OK; }
int nvmlDeviceGetDecoderUtilization(gpu_t *gpu, u32 *out, u32 *period) { GPU_CALL; *out = 0; *period = 1000000; return OK; }
int nvmlDeviceGetCudaComputeCapability(gpu_t *gpu, int *major, int *minor) { GPU_CALL; *major = 9; *minor = 0; return OK; }

#include "gpm.c"

