/* Of the stand-in: values by field number, and what is told of a GPU's health and its links. Included by nvml.c.
 *
 * Invariant: what a real H200 refused (driver 580.159.04) is refused here: retired pages, fans, ECC but of SRAM and
 * DRAM; and without nvlinks all of NVLink and the fabric. A sum over links is that of the links.
 */

/* ---------------------------------------------------------------------------------------------- fields */

typedef struct { u32 id, scope; long long timestamp, latency; int type, code; union { double d; int i; u32 u; u64 ull; long long sll; } value; } field_t;
enum { DOUBLE, UNSIGNED_INT, UNSIGNED_LONG, UNSIGNED_LONG_LONG, SIGNED_LONG_LONG, SIGNED_INT };
enum { OF_GPU, OF_MODULE, OF_MEMORY, ALL_LINKS = ~0, NEWEST_OF_R470 = 168 };

static void give(field_t *f, u64 value) { f->type = UNSIGNED_LONG_LONG; f->value.ull = value; }
static void give_int(field_t *f, int value) { f->type = SIGNED_INT; f->value.ull = 0; f->value.i = value; }

static void fill_link(field_t *f) { /* all that is told by link, or of all links together */
    int is_fifth = (int)number("nvlink5", 0), is_old = profile() == OLD;
    u64 count = f->scope == (u32)ALL_LINKS ? (u64)links() : 1;
    f->code = !links() ? NOT_SUPPORTED : count == 1 && f->scope >= (u32)links() ? INVALID_ARGUMENT : OK;
    switch (f->id) {
    case 38: case 45: case 52: case 59: if (!is_old) f->code = NOT_SUPPORTED; give(f, 0); return; /* totals of errors */
    case 138: case 139: if (is_fifth) f->code = NOT_SUPPORTED; give(f, (u64)(elapsed() * 5e4) * count); return; /* KiB */
    case 161: case 162: case 163: if (is_fifth || is_old || count > 1) f->code = NOT_SUPPORTED; give(f, 0); return;
    case 202: case 204: if (!is_fifth) f->code = NOT_SUPPORTED; give(f, (u64)(elapsed() * 5e7) * count); return; /* bytes */
    default: if (!is_fifth) f->code = NOT_SUPPORTED; give(f, 0); return; /* 206 to 221: errors */
    }
}
static int is_of_links(u32 id) {
    return id == 38 || id == 45 || id == 52 || id == 59 || id == 138 || id == 139 || (id >= 161 && id <= 163) || (id >= 201 && id <= 222);
}

static void fill(int i, field_t *f) {
    static const int margins[] = {-8, -2, 0, 0};
    double t = elapsed();
    f->type = UNSIGNED_INT;
    f->value.ull = 0;
    if (profile() == OLD && f->id > NEWEST_OF_R470) { f->code = INVALID_ARGUMENT; return; }
    if (is_of_links(f->id)) { fill_link(f); return; }
    switch (f->id) {
    case 74: give(f, (u64)(t * 1e8)); return; /* ns under the power cap */
    case 78: give(f, (u64)(t * 2e8)); return; /* ns of low utilisation */
    case 75: case 76: case 77: case 79: case 80: case 81: case 269: case 270: case 271: give(f, 0); return;
    case 82: f->value.u = (u32)of_gpu("set.temperature", i, (long long)(34 + 45 * load(i, t))); return;
    case 83: give(f, (u64)(joules(i) * 1e3)); return;
    case 91: f->value.u = (u32)links(); return;
    case 94: return; /* replays */
    case 142: case 143: case 144: case 145: give(f, 0); return; /* remapped rows */
    case 173: case 174: case 175: case 176: case 177: case 178: case 179: case 180: case 181: case 182: case 183: return;
    case 185:
        if (f->scope == OF_MODULE) f->code = NOT_SUPPORTED;
        f->value.u = (u32)(watts(i) * (f->scope == OF_MEMORY ? 100 : 1e3)); /* a tenth of it is the memory's */
        return;
    case 186: if (f->scope) f->code = NOT_SUPPORTED; f->value.u = (u32)(watts(i) * 1e3); return;
    case 187: f->value.u = 200000; return;
    case 188: case 189: case 190: case 192: f->value.u = 700000; return;
    case 193: case 194: case 195: case 196: give_int(f, margins[f->id - 193]); return;
    case 197: case 198: f->value.u = (u32)(u64)(t * 3e9); return; /* bytes, in 32 bits */
    case 230: return; /* recovery action */
    default: f->code = NOT_SUPPORTED;
    }
}
static void turn(int i, field_t *f) { /* as the knobs want it */
    char key[48];
    snprintf(key, sizeof key, "set.field.%u.%d", f->id, i);
    long long set = number(key, -1);
    snprintf(key, sizeof key, "set.field.%u.%d.%u", f->id, i, f->scope);
    set = number(key, set);
    if (set >= 0) f->value.ull = (u64)set;
    snprintf(key, sizeof key, "field.%u", f->id);
    if (number(key, 0)) f->code = (int)number(key, 0);
    if (mig_hides_field(f->id) && mig_is_on(i)) f->code = NOT_SUPPORTED;
}
int nvmlDeviceGetFieldValues(gpu_t *gpu, int count, field_t *fields) {
    GPU_CALL;
    for (field_t *f = fields; f < fields + count; f++) {
        f->code = OK;
        fill(i, f);
        turn(i, f);
    }
    return OK;
}

/* ---------------------------------------------------------------------------------------------- health */

int nvmlDeviceGetMarginTemperature(gpu_t *gpu, u32 out[2]) {
    GPU_CALL;
    if (out[0] != (8 | 1u << 24)) return VERSION_MISMATCH;
    ((int *)out)[1] = 87 - temperature(i);
    return OK;
}
int nvmlDeviceGetTemperatureThreshold(gpu_t *gpu, u32 kind, u32 *out) {
    static const u32 celsius[] = {95, 89, 95, 87};
    GPU_CALL;
    if (kind > 3) return NOT_SUPPORTED;
    *out = celsius[kind];
    return OK;
}
int nvmlDeviceGetMemoryErrorCounter(gpu_t *gpu, int severity, int lifetime, int location, u64 *out) {
    enum { DRAM = 2, SRAM = 7 };
    GPU_CALL;
    if (location != DRAM && location != SRAM) return NOT_SUPPORTED;
    *out = location == DRAM ? ecc(i, severity, lifetime) : 0;
    return OK;
}
typedef struct { u32 version; u64 aggregate[3], since_load[3], l2, sm, pcie, microcontroller, other; u32 exceeded; } sram_t;
int nvmlDeviceGetSramEccErrorStatus(gpu_t *gpu, sram_t *out) {
    GPU_CALL;
    if (out->version != (sizeof *out | 1u << 24)) return VERSION_MISMATCH;
    memset(&out->aggregate, 0, sizeof *out - sizeof(u64));
    out->sm = (u64)of_gpu("set.sram_sm", i, 0);
    out->exceeded = (u32)of_gpu("set.sram_exceeded", i, 0);
    return OK;
}
int nvmlDeviceGetRemappedRows(gpu_t *gpu, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    GPU_CALL;
    *corrected = *uncorrected = *pending = *failed = 0;
    return OK;
}
int nvmlDeviceGetRowRemapperHistogram(gpu_t *gpu, u32 out[5]) {
    GPU_CALL;
    memset(out, 0, 5 * sizeof *out);
    out[0] = profile() == H200 ? 3072 : 2560;
    return OK;
}
int nvmlDeviceGetRepairStatus(gpu_t *gpu, u32 out[3]) {
    GPU_CALL;
    if (out[0] != (12 | 1u << 24)) return VERSION_MISMATCH;
    out[1] = out[2] = 0;
    return OK;
}
int nvmlDeviceGetEccMode(gpu_t *gpu, u32 *now, u32 *pending) { GPU_CALL; *now = *pending = 1; return OK; }
int nvmlDeviceGetPersistenceMode(gpu_t *gpu, u32 *out) { GPU_CALL; *out = 1; return OK; }
int nvmlDeviceGetFanSpeed(gpu_t *gpu, u32 *out) { GPU_CALL; (void)out; return NOT_SUPPORTED; }

/* ----------------------------------------------------------------------------------------------- links */

int nvmlDeviceGetCurrPcieLinkGeneration(gpu_t *gpu, u32 *out) { GPU_CALL; *out = (u32)of_gpu("set.pcie_generation", i, 5); return OK; }
int nvmlDeviceGetCurrPcieLinkWidth(gpu_t *gpu, u32 *out) { GPU_CALL; *out = (u32)of_gpu("set.pcie_width", i, 16); return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(gpu_t *gpu, u32 *out) { GPU_CALL; *out = 5; return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(gpu_t *gpu, u32 *out) { GPU_CALL; *out = 16; return OK; }
int nvmlDeviceGetNvLinkState(gpu_t *gpu, u32 link, u32 *out) {
    char key[32];
    GPU_CALL;
    if (link >= (u32)links()) return links() ? INVALID_ARGUMENT : NOT_SUPPORTED;
    snprintf(key, sizeof key, "set.link.%d.%u", i, link);
    *out = (u32)number(key, 1);
    return OK;
}
typedef struct { u32 version; unsigned char cluster[16]; int status; u32 clique, state, health; unsigned char summary; } fabric_t;
int nvmlDeviceGetGpuFabricInfoV(gpu_t *gpu, fabric_t *out) {
    GPU_CALL;
    if (out->version != 0x2000024 && out->version != 0x3000028) return VERSION_MISMATCH;
    out->status = OK;
    out->state = links() ? (u32)of_gpu("set.fabric_state", i, 3) : 0;
    return OK;
}
