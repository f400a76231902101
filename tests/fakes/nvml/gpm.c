/* Of the stand-in: GPM (activity of SMs and pipes) and MIG. Included at the end of nvml.c.
 *
 * Knobs:
 *   set.sm_active.3=25          GPU 3: so many percent of its SMs are active; without it they follow the load
 *   set.sm_active.3.2=25        the same of GPU instance 2 of GPU 3
 *   gpm=0  gpm.3=0              no GPM, as before Hopper; error.nvmlGpmSampleGet=3 and so on as with any call
 *   mig.3=1:0:3g.40gb,,2:0:3g.40gb   MIG is on: GPU-INSTANCE:COMPUTE-INSTANCE:PROFILE[:SERIAL]; an empty entry is a hole
 *                               in the numbering; nothing at all: MIG is on without instances. Another SERIAL is
 *                               another UUID: an instance made anew under a number that was used before
 *   set.mig_memory_used.3.2=7   bytes that GPU instance 2 uses
 *   gpm_metric.6=3              this metric returns this code
 *
 * Invariant: a value is the integral of the activity over the window by the window, exactly, whenever the knob was
 * turned: a new setting counts from the first call that sees it. A window under 100 ms, or of two different
 * instances, gives a value that is possible and wrong, as hardware does.
 */

int fake_gpm_samples(void); /* how many samples are allocated now */
double fake_sm_seconds(u32 index, u32 gi); /* the integral so far; gi ~0: of the GPU */

/* ------------------------------------------------------------------------------------------------------- MIG */

enum { MOST_MIG = 8, NO_INSTANCE = ~0, NOT_FOUND = 6, SMS = 132 };
typedef struct { int gi, ci, slices, compute_slices, sms, serial; u64 memory; char profile[32]; } slice_t;
static gpu_t mig_handles[MOST_GPUS][MOST_MIG];

static int mig_is_on(int i) {
    char key[32], value[192];
    snprintf(key, sizeof key, "mig.%d", i);
    return text(key, value, sizeof value);
}

static int parse_slice(const char *entry, slice_t *out) {
    int compute = 0;
    memset(out, 0, sizeof *out);
    if (sscanf(entry, "%d:%d:%31[^:]:%d", &out->gi, &out->ci, out->profile, &out->serial) < 3) return 0;
    const char *rest = out->profile;
    if (sscanf(rest, "%dc.", &compute) == 1 && strstr(rest, "c.")) rest = strstr(rest, "c.") + 2;
    int gib = 0;
    if (sscanf(rest, "%dg.%dgb", &out->slices, &gib) != 2) return 0;
    out->compute_slices = compute ? compute : out->slices;
    out->memory = (u64)gib * GIB;
    out->sms = out->compute_slices == 7 ? SMS : out->compute_slices == 3 ? 60 : 16 * out->compute_slices;
    return 1;
}

static int slice_at(int i, int place, slice_t *out) { /* the entry at this place of the layout */
    char key[32], value[192], *at = value;
    snprintf(key, sizeof key, "mig.%d", i);
    if (!text(key, value, sizeof value)) return 0;
    for (; place && at; place--) {
        at = strchr(at, ',');
        if (at) at++;
    }
    if (!at) return 0;
    at[strcspn(at, ",")] = 0;
    return parse_slice(at, out);
}

static int has_instance(int i, int gi, slice_t *out) {
    for (int place = 0; place < MOST_MIG; place++)
        if (slice_at(i, place, out) && out->gi == gi) return 1;
    return 0;
}

static int mig_hides(const char *function) { /* what a whole GPU does not tell under MIG (an H200, driver 590) */
    static const char *hidden[] = {
        "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetEncoderUtilization", "nvmlDeviceGetDecoderUtilization",
        "nvmlDeviceGetJpgUtilization", "nvmlDeviceGetOfaUtilization", "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetRowRemapperHistogram", "nvmlGpmSampleGet"};
    for (size_t k = 0; k < sizeof hidden / sizeof *hidden; k++)
        if (!strcmp(function, hidden[k])) return 1;
    return !strncmp(function, "nvmlDeviceGetNvLink", 19);
}

static int mig_hides_field(u32 field) { /* NVLink and remapped rows, by the numbers of nvml.h */
    return (field >= 32 && field <= 73) || (field >= 84 && field <= 91) || (field >= 96 && field <= 168) ||
           (field >= 200 && field <= 225);
}

static int is_mig(gpu_t *gpu) { return gpu >= &mig_handles[0][0] && gpu < &mig_handles[0][0] + MOST_GPUS * MOST_MIG; }
static int mig_parent(gpu_t *gpu) { return (int)((gpu - &mig_handles[0][0]) / MOST_MIG); }
static int mig_slice(gpu_t *gpu, slice_t *out) { return slice_at(mig_parent(gpu), (int)((gpu - &mig_handles[0][0]) % MOST_MIG), out); }

#define MIG_CALL                       \
    slice_t me;                        \
    if (!is_mig(gpu)) return INVALID_ARGUMENT; \
    ENTER(mig_parent(gpu));            \
    if (!mig_slice(gpu, &me)) return INVALID_ARGUMENT

int nvmlDeviceGetMigMode(gpu_t *gpu, u32 *now, u32 *pending) {
    GPU_CALL;
    *now = *pending = (u32)mig_is_on(i);
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(gpu_t *gpu, u32 *out) { GPU_CALL; *out = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(gpu_t *gpu, u32 place, gpu_t **out) {
    slice_t found;
    GPU_CALL;
    if (!mig_is_on(i) || place >= 7) return INVALID_ARGUMENT;
    if (!slice_at(i, (int)place, &found)) return NOT_FOUND;
    *out = &mig_handles[i][place];
    return OK;
}
int nvmlDeviceIsMigDeviceHandle(gpu_t *gpu, u32 *out) { *out = (u32)is_mig(gpu); return OK; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(gpu_t *gpu, gpu_t **out) { MIG_CALL; *out = &gpus[mig_parent(gpu)]; return OK; }
int nvmlDeviceGetGpuInstanceId(gpu_t *gpu, u32 *out) { MIG_CALL; *out = (u32)me.gi; return OK; }
int nvmlDeviceGetComputeInstanceId(gpu_t *gpu, u32 *out) { MIG_CALL; *out = (u32)me.ci; return OK; }

typedef struct { u32 sms, copy, decoders, encoders, jpegs, ofas, slices, compute_slices; u64 memory_mib; } attributes_t;
int nvmlDeviceGetAttributes_v2(gpu_t *gpu, attributes_t *out) { /* of MIG devices alone, as nvml.h says */
    MIG_CALL;
    *out = (attributes_t){(u32)me.sms, 1, 1, 0, 1, 0, (u32)me.slices, (u32)me.compute_slices, me.memory >> 20};
    return OK;
}
typedef struct { u32 version, id, p2p, slices, instances, sms, copy, decoders, encoders, jpegs, ofas; u64 memory_mib; char name[96]; } profile_t;
int nvmlDeviceGetGpuInstanceProfileInfoV(gpu_t *gpu, u32 profile, profile_t *out) {
    GPU_CALL;
    if (out->version != (sizeof *out | 2u << 24)) return VERSION_MISMATCH;
    if (profile != 4) return NOT_SUPPORTED; /* the one of all seven slices */
    out->slices = 7;
    out->sms = SMS;
    return OK;
}

static int mig_uuid(gpu_t *gpu, char *out, u32 size) {
    char seed[192] = "a";
    slice_t me;
    text("seed", seed, sizeof seed);
    if (!mig_slice(gpu, &me)) return INVALID_ARGUMENT;
    snprintf(out, size, "MIG-%c%07x-0000-4000-8000-%04d%04d%04d", seed[0], (u32)me.serial, mig_parent(gpu), me.gi, me.ci);
    return OK;
}
static int mig_name(gpu_t *gpu, char *out, u32 size) {
    slice_t me;
    if (!mig_slice(gpu, &me)) return INVALID_ARGUMENT;
    snprintf(out, size, "NVIDIA H100 80GB HBM3 MIG %s", me.profile);
    return OK;
}
static int mig_memory(gpu_t *gpu, u64 *total, u64 *reserved, u64 *used) {
    char key[64];
    slice_t me;
    if (!mig_slice(gpu, &me)) return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "set.mig_memory_used.%d.%d", mig_parent(gpu), me.gi);
    *total = me.memory;
    *reserved = GIB / 16;
    *used = (u64)number(key, me.gi * (long long)GIB / 2);
    return OK;
}

/* ------------------------------------------------------------------------------------------------------- GPM */

enum { MOST_GI = 16, GARBAGE_PERCENT = 77 };
static const double SHORTEST = 0.1;
static pthread_mutex_t activity = PTHREAD_MUTEX_INITIALIZER;
typedef struct { double since, before; int percent, begun; } course_t; /* `before`: the integral up to `since` */
static course_t courses[MOST_GPUS][MOST_GI + 1];
typedef struct { int i, gi, taken; u32 serial; double real, at, seconds; } sample_t;
static int live_samples;

static double load_seconds(int i, double t) { /* the integral of load() */
    return 0.5 * t - 0.4 / RATE * (cos(RATE * t + phase(i)) - cos(phase(i)));
}
static double grown(int i, int gi, int percent, double from, double to) {
    int who = gi < 0 ? i : i + 3 * gi;
    return percent >= 0 ? percent / 1e2 * (to - from) : load_seconds(who, to) - load_seconds(who, from);
}
static int sm_percent(int i, int gi) { /* -1: it follows the load */
    char key[64];
    snprintf(key, sizeof key, "set.sm_active.%d.%d", i, gi);
    return (int)(gi < 0 ? of_gpu("set.sm_active", i, -1) : number(key, -1));
}
static double sm_seconds(int i, int gi, double now) {
    int percent = sm_percent(i, gi);
    pthread_mutex_lock(&activity);
    course_t *c = &courses[i][gi < 0 ? MOST_GI : gi % MOST_GI];
    if (!c->begun) *c = (course_t){0, 0, percent, 1};
    if (percent != c->percent) *c = (course_t){now, c->before + grown(i, gi, c->percent, c->since, now), percent, 1};
    double seconds = c->before + grown(i, gi, percent, c->since, now);
    pthread_mutex_unlock(&activity);
    return seconds;
}
static double sm_now(int i, int gi) {
    int percent = sm_percent(i, gi);
    return percent >= 0 ? percent / 1e2 : load(gi < 0 ? i : i + 3 * gi, elapsed());
}
double fake_sm_seconds(u32 index, u32 gi) { return sm_seconds((int)index, gi == (u32)NO_INSTANCE ? -1 : (int)gi, elapsed()); }
int fake_gpm_samples(void) { return live_samples; }

static double real_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + now.tv_nsec / 1e9;
}
static int has_gpm(int i) { return number("gpm", 1) && of_gpu("gpm", i, 1); }

typedef struct { u32 version, supported; } support_t;
int nvmlGpmQueryDeviceSupport(gpu_t *gpu, support_t *out) {
    GPU_CALL;
    if (out->version != 1) return VERSION_MISMATCH;
    out->supported = (u32)has_gpm(i);
    return OK;
}
int nvmlGpmSampleAlloc(sample_t **out) {
    ENTER(NO_GPU);
    *out = calloc(1, sizeof **out);
    __atomic_add_fetch(&live_samples, 1, __ATOMIC_SEQ_CST);
    return OK;
}
int nvmlGpmSampleFree(sample_t *sample) {
    ENTER(NO_GPU);
    if (!sample) return INVALID_ARGUMENT;
    free(sample);
    __atomic_sub_fetch(&live_samples, 1, __ATOMIC_SEQ_CST);
    return OK;
}
static int take(int i, int gi, u32 serial, sample_t *out) {
    if (!has_gpm(i)) return NOT_SUPPORTED;
    double now = elapsed();
    *out = (sample_t){i, gi, 1, serial, real_seconds(), now, sm_seconds(i, gi, now)};
    return OK;
}
int nvmlGpmSampleGet(gpu_t *gpu, sample_t *out) { GPU_CALL; return take(i, -1, 0, out); }
int nvmlGpmMigSampleGet(gpu_t *gpu, u32 gi, sample_t *out) {
    slice_t found;
    GPU_CALL;
    if (!has_instance(i, (int)gi, &found)) return INVALID_ARGUMENT;
    return take(i, (int)gi, (u32)found.serial, out);
}

typedef struct { u32 id; int code; double value; const char *names[3]; } metric_t;
typedef struct { u32 version, count; sample_t *first, *second; metric_t metrics[]; } metrics_t;

static double of_sm(u32 id) { /* what part of SM activity each metric is; below 0: there is no such metric */
    switch (id) {
    case 2: return 1;     /* SMs active */
    case 3: return 0.5;   /* occupancy */
    case 4: return 0.15;  /* integer */
    case 5: return 0.6;   /* any tensor pipe */
    case 6: return 0.05;  /* DFMA */
    case 7: return 0.5;   /* HMMA */
    case 8: return 0.025; /* DMMA */
    case 9: return 0.075; /* IMMA */
    case 10: return 0.4;  /* DRAM */
    case 11: return 0.1;  /* FP64 */
    case 12: return 0.2;  /* FP32 */
    case 13: return 0.25; /* FP16 */
    case 20: return 10;   /* MiB/s sent over PCIe for each percent: 1000 when all SMs are active */
    case 21: return 20;   /* the same received */
    default: return -1;
    }
}
int nvmlGpmMetricsGet(metrics_t *asked) {
    sample_t *a = asked->first, *b = asked->second;
    if (asked->version != 1) return VERSION_MISMATCH;
    if (!a || !b || !a->taken || !b->taken || a->i != b->i) return INVALID_ARGUMENT;
    ENTER(b->i);
    double window = b->at - a->at, percent;
    int is_wrong = a->gi != b->gi || a->serial != b->serial || (window < SHORTEST && b->real - a->real < SHORTEST);
    percent = is_wrong ? GARBAGE_PERCENT : 100 * (window > 0 ? (b->seconds - a->seconds) / window : sm_now(b->i, b->gi));
    for (metric_t *m = asked->metrics; m < asked->metrics + asked->count; m++) {
        char key[32];
        snprintf(key, sizeof key, "gpm_metric.%u", m->id);
        m->code = of_sm(m->id) < 0 ? NOT_SUPPORTED : (int)number(key, OK);
        m->value = is_wrong ? percent : percent * of_sm(m->id);
    }
    return OK;
}
