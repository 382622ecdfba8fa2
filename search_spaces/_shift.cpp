// Shifts of channels-last float32 maps, forward and backward: see shift.py for what they mean.
//
// Each channel has two or three taps in a column and as many in a row. A row of the output takes
// its rows of the input into a line of a few channels, which stays in the first cache, and then
// takes its columns from that line; what is outside the map is 0. No header is needed: it compiles
// in a second. OpenMP is optional.

namespace {

typedef long long Index;
typedef float Vec4 __attribute__((vector_size(16)));
typedef float Vec8 __attribute__((vector_size(32)));
typedef float Vec16 __attribute__((vector_size(64)));

#define INLINE inline __attribute__((always_inline))

template <class V> INLINE V load(const float *from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);  // unaligned
    return v;
}

template <class V> INLINE void store(float *to, V v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// Write past the caches, if `past` and if that is possible: a line need not be read to be written.
template <class V> INLINE void stream(float *to, V v, bool) { store<V>(to, v); }

#if defined __clang__ || defined __AVX512F__
template <> INLINE void stream<Vec16>(float *to, Vec16 v, bool past) {
    if (!past || (unsigned long long)to % sizeof v) return store<Vec16>(to, v);
#ifdef __clang__
    __builtin_nontemporal_store(v, (Vec16 *)to);
#else
    __builtin_ia32_movntps512(to, v);
#endif
}
#endif

// Let all see what was written past the caches.
INLINE void drain() {
#ifdef __SSE__
    __builtin_ia32_sfence();
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

// The taps of all channels along one axis: tap t reads (t - reach) * step ahead.
struct Taps {
    int reach;
    float *weight, *slope;  // (2 * reach + 1, channels); the derivative of weight by the offset
};

// Adjacent channels, at most 16, and the taps in which any of them has a weight.
struct Block {
    Index first;
    int lanes, y_low, y_high, x_low, x_high;
};

struct Map {
    Index n, h, w, c, h_out, w_out;
    int stride, step;
};

// One row of the source with the weights of its tap.
struct Source {
    const float *row, *weight, *slope;
};

INLINE double floor_of(double x) { return __builtin_floor(x); }

int whole(float offset, Index size, bool rounded) {
    double x = offset, limit = (double)size + 1;
    x = x > limit ? limit : x < -limit ? -limit : x;
    if (!rounded) return (int)floor_of(x);
    return (int)(x < 0 ? -floor_of(0.5 - x) : floor_of(x + 0.5));
}

bool fill(Taps &taps, const float *offset, Index c, Index size, int step, bool rounded) {
    Index most = (size - 1) / step, reach = 0;  // farther taps read nothing but zeros
    for (Index i = 0; i < c; i++) {
        if (offset[i] != offset[i]) continue;
        Index low = whole(offset[i], size, rounded), high = rounded ? low : low + 1;
        reach = reach < -low ? -low : reach;
        reach = reach < high ? high : reach;
    }
    taps.reach = (int)(reach < most ? reach : most);
    Index n = (2 * (Index)taps.reach + 1) * c;
    taps.weight = (float *)__builtin_calloc(2 * n, sizeof(float));
    if (!taps.weight) return false;
    taps.slope = taps.weight + n;
    for (Index i = 0; i < c; i++) {
        float *weight = taps.weight + taps.reach * c + i, *slope = taps.slope + taps.reach * c + i;
        if (offset[i] != offset[i]) {
            *weight = *slope = offset[i];  // not a number: nor is what it moves
            continue;
        }
        Index low = whole(offset[i], size, rounded);
        float part = rounded ? 0 : (float)(offset[i] - floor_of(offset[i]));
        if (low >= -taps.reach && low <= taps.reach) weight[low * c] = 1 - part, slope[low * c] = -1;
        if (rounded) continue;
        low++;
        if (low >= -taps.reach && low <= taps.reach) weight[low * c] = part, slope[low * c] = 1;
    }
    return true;
}

void range(const Taps &taps, Index c, Index first, int lanes, int &low, int &high) {
    low = 2 * taps.reach + 1, high = -1;
    for (int t = 0; t <= 2 * taps.reach; t++)
        for (int i = 0; i < lanes; i++)
            if (taps.weight[t * c + first + i] != 0 || taps.slope[t * c + first + i] != 0) {
                low = low < t ? low : t;
                high = t;
            }
}

Index divide(Block *blocks, const Taps &ys, const Taps &xs, Index c) {
    Index count = 0;
    for (Index first = 0; first < c; count++) {
        Index left = c - first;
        Block &b = blocks[count];
        b.first = first, b.lanes = left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : 1;
        range(ys, c, first, b.lanes, b.y_low, b.y_high);
        range(xs, c, first, b.lanes, b.x_low, b.x_high);
        first += b.lanes;
    }
    return count;
}

template <class V, int COUNT>
INLINE void gather_some(float *line, const Source *from, Index n, Index c, int every) {
    const int lanes = sizeof(V) / sizeof(float);
    V weight[COUNT];
    for (int k = 0; k < COUNT; k++) weight[k] = load<V>(from[k].weight);
    for (Index x = 0; x < n; x++) {
        V sum = weight[0] * load<V>(from[0].row + x * c);
        for (int k = 1; k < COUNT; k++) sum += weight[k] * load<V>(from[k].row + x * c);
        store<V>(line + x * every * lanes, sum);
    }
}

// line[x * every] = sum of weight * row[x] over the sources.
template <class V>
INLINE void gather(float *line, const Source *from, int count, Index n, Index c, int every) {
    const int lanes = sizeof(V) / sizeof(float);
    if (count == 1) return gather_some<V, 1>(line, from, n, c, every);
    if (count == 2) return gather_some<V, 2>(line, from, n, c, every);
    if (count == 3) return gather_some<V, 3>(line, from, n, c, every);
    for (Index x = 0; x < n; x++) {
        V sum = {};
        for (int k = 0; k < count; k++) sum += load<V>(from[k].weight) * load<V>(from[k].row + x * c);
        store<V>(line + x * every * lanes, sum);
    }
}

template <class V, int COUNT>
INLINE void scatter_some(float *to, const float *line, const float *weights, Index n,
                         Index c, Index every, Index step, bool past) {
    V weight[COUNT];
    for (int k = 0; k < COUNT; k++) weight[k] = load<V>(weights + k * c);
    for (Index x = 0; x < n; x++) {
        V sum = weight[0] * load<V>(line + x * every);
        for (int k = 1; k < COUNT; k++) sum += weight[k] * load<V>(line + x * every + k * step);
        stream<V>(to + x * c, sum, past);
    }
}

// to[x] = sum of weight * line[x * every + tap * step] over `count` taps.
template <class V>
INLINE void scatter(float *to, const float *line, const float *weights, int count, Index n,
                    Index c, Index every, Index step, bool past) {
    if (count == 1) return scatter_some<V, 1>(to, line, weights, n, c, every, step, past);
    if (count == 2) return scatter_some<V, 2>(to, line, weights, n, c, every, step, past);
    if (count == 3) return scatter_some<V, 3>(to, line, weights, n, c, every, step, past);
    for (Index x = 0; x < n; x++) {
        V sum = {};
        for (int k = 0; k < count; k++)
            sum += load<V>(weights + k * c) * load<V>(line + x * every + k * step);
        stream<V>(to + x * c, sum, past);
    }
}

// line[x] and slopes[x] = sum of weight, and of slope, times row[x] over the sources.
template <class V, int COUNT>
INLINE void gather_slopes(float *line, float *slopes, const Source *from, int count, Index n,
                          Index c) {
    const int lanes = sizeof(V) / sizeof(float);
    for (Index x = 0; x < n; x++) {
        V value = {}, change = {};
        for (int k = 0; k < (COUNT ? COUNT : count); k++) {
            V read = load<V>(from[k].row + x * c);
            value += load<V>(from[k].weight) * read;
            change += load<V>(from[k].slope) * read;
        }
        store<V>(line + x * lanes, value);
        store<V>(slopes + x * lanes, change);
    }
}

// Add to by_y and by_x the gradient times what the taps make of slopes and of line.
template <class V, int COUNT>
INLINE void add_slopes(float *by_y, float *by_x, const float *grad, const float *line,
                       const float *slopes, const float *weight, const float *slope, int count,
                       Index n, Index c, Index every, Index step) {
    V sum_y = load<V>(by_y), sum_x = load<V>(by_x);
    for (Index x = 0; x < n; x++) {
        V down = {}, right = {};
        for (int k = 0; k < (COUNT ? COUNT : count); k++) {
            down += load<V>(weight + k * c) * load<V>(slopes + x * every + k * step);
            right += load<V>(slope + k * c) * load<V>(line + x * every + k * step);
        }
        V g = load<V>(grad + x * c);
        sum_y += g * down;
        sum_x += g * right;
    }
    store<V>(by_y, sum_y);
    store<V>(by_x, sum_x);
}

void clear(float *from, Index n) { __builtin_memset(from, 0, n * sizeof(float)); }

#define FOR_LANES(lanes, call)                                                                    \
    switch (lanes) {                                                                              \
    case 16: { typedef Vec16 V; call; break; }                                                    \
    case 8: { typedef Vec8 V; call; break; }                                                      \
    case 4: { typedef Vec4 V; call; break; }                                                      \
    default: { typedef float V; call; }                                                           \
    }

// Two or three taps, the usual numbers, as constants.
#define SOME(function, count, arguments)                                                          \
    if ((count) == 2) function<V, 2> arguments;                                                   \
    else if ((count) == 3) function<V, 3> arguments;                                              \
    else function<V, 0> arguments;

const Index PART = 8;  // rows whose gradients are added up in float32, whatever the threads
const Index AHEAD = 4;  // rows that are fetched early
const Index CACHE = 1 << 18;  // floats, from which a map is written past the caches

// The work of a call: taps by whole or real offsets, blocks of channels, a scratch for each thread.
struct Work {
    Map m;
    Taps ys, xs;
    Block *blocks;
    Index n_blocks, line, scratch;
    char *memory;
    int threads;

    Work(Index n, Index h, Index w, Index c, int stride, int step, int n_threads) {
        m = {n, h, w, c, (h - 1) / stride + 1, (w - 1) / stride + 1, stride, step};
        ys.weight = xs.weight = 0, blocks = 0, memory = 0, threads = n_threads;
    }

    bool prepare(const float *dy, const float *dx, bool rounded) {
        if (!fill(ys, dy, m.c, m.h, m.step, rounded)) return false;
        if (!fill(xs, dx, m.c, m.w, m.step, rounded)) return false;
        blocks = (Block *)__builtin_malloc((m.c / 16 + 6) * sizeof(Block));
        if (!blocks) return false;
        n_blocks = divide(blocks, ys, xs, m.c);
        line = 2 * pad() + m.w;  // pixels, for each channel
        Index sources = n_blocks * (2 * ys.reach + 1) * (Index)sizeof(Source);
        Index bytes = sources + n_blocks * (Index)sizeof(int) + 2 * line * m.c * (Index)sizeof(float);
        scratch = (bytes + 511) / 64 * 64 + 64;
        memory = (char *)__builtin_malloc(scratch * threads);
        return memory != 0;
    }

    Index pad() const { return (Index)xs.reach * m.step; }

    ~Work() {
        __builtin_free(ys.weight);
        __builtin_free(xs.weight);
        __builtin_free(blocks);
        __builtin_free(memory);
    }
};

// What one thread needs for one row: each block's sources, and its part of the line.
struct Row {
    const Work &work;
    const Map &m;
    Source *from;
    float *line;
    int *counts;

    Row(const Work &all, int thread) : work(all), m(all.m) {
        from = (Source *)(work.memory + work.scratch * thread);
        line = (float *)(from + work.n_blocks * taps());
        counts = (int *)(line + 2 * work.line * m.c);
    }

    Index taps() const { return 2 * work.ys.reach + 1; }

    // Which rows of `image` each block takes for row `y`, of the output or, going back, the input.
    void find(const float *image, Index y, bool back) {
        Index width = back ? m.w_out : m.w, height = back ? m.h_out : m.h;
        for (Index i = 0; i < work.n_blocks; i++) {
            const Block &b = work.blocks[i];
            counts[i] = 0;
            if (b.x_high < b.x_low) continue;
            for (int t = b.y_low; t <= b.y_high; t++) {
                Index ahead = (Index)(t - work.ys.reach) * m.step;
                Index row = back ? y - ahead : y * m.stride + ahead, at = t * m.c + b.first;
                if (row < 0 || (back && row % m.stride)) continue;
                if (back) row /= m.stride;
                if (row >= height) continue;
                from[i * taps() + counts[i]++] = {image + row * width * m.c + b.first,
                                                  work.ys.weight + at, work.ys.slope + at};
            }
        }
    }

    void move(float *to, bool back, bool past) {
        Index n_from = back ? m.w_out : m.w, n_to = back ? m.w : m.w_out, pad = work.pad();
        int every = back ? m.stride : 1;
        if (every > 1) clear(line, work.line * m.c);
        for (Index i = 0; i < work.n_blocks && every == 1; i++) {
            const Block &b = work.blocks[i];
            clear(line + work.line * b.first, pad * b.lanes);
            clear(line + work.line * b.first + (pad + m.w) * b.lanes, pad * b.lanes);
        }
        for (Index i = 0; i < work.n_blocks; i++) {
            const Block &b = work.blocks[i];
            float *part = line + work.line * b.first + pad * b.lanes;
            const float *weight = work.xs.weight + b.x_low * m.c + b.first;
            Index ahead = (Index)(b.x_low - work.xs.reach) * m.step * b.lanes;
            Index next = (Index)m.step * b.lanes;
            int columns = counts[i] ? b.x_high - b.x_low + 1 : 0;
            FOR_LANES(b.lanes,
                      gather<V>(part, from + i * taps(), counts[i], n_from, m.c, every);
                      scatter<V>(to + b.first, part + (back ? -ahead : ahead), weight, columns, n_to,
                                 m.c, (back ? 1 : m.stride) * b.lanes, back ? -next : next, past))
        }
    }

    // Add the row's share of the offsets' gradients.
    void slopes(float *by_y, float *by_x, const float *grad) {
        Index pad = work.pad();
        for (Index i = 0; i < 2 * work.n_blocks; i++) {
            const Block &b = work.blocks[i / 2];
            float *part = line + work.line * ((i % 2 ? m.c : 0) + b.first);
            clear(part, pad * b.lanes);
            clear(part + (pad + m.w) * b.lanes, pad * b.lanes);
        }
        for (Index i = 0; i < work.n_blocks; i++) {
            if (!counts[i]) continue;
            const Block &b = work.blocks[i];
            const Source *rows = from + i * taps();
            float *part = line + work.line * b.first + pad * b.lanes;
            float *change = part + work.line * m.c;
            Index at = b.x_low * m.c + b.first;
            Index ahead = (Index)(b.x_low - work.xs.reach) * m.step * b.lanes;
            int columns = b.x_high - b.x_low + 1;
            FOR_LANES(b.lanes,
                      SOME(gather_slopes, counts[i], (part, change, rows, counts[i], m.w, m.c))
                      SOME(add_slopes, columns,
                           (by_y + b.first, by_x + b.first, grad + b.first, part + ahead,
                            change + ahead, work.xs.weight + at, work.xs.slope + at, columns,
                            m.w_out, m.c, m.stride * b.lanes, m.step * b.lanes)))
        }
    }
};

// Ask for a row, if it is in a map of `rows`: its blocks jump through it, and would wait for each.
void fetch(const float *map, Index row, Index rows, Index n) {
    if (row < rows)
        for (Index i = 0; i < n; i += 16) __builtin_prefetch(map + row * n + i, 0, 2);
}

// Take the next `n` of `all`: a thread whose core is busy with something else leaves more to others.
bool take(Index &next, Index &first, Index &end, Index all, Index n) {
    first = __atomic_fetch_add(&next, n, __ATOMIC_RELAXED);
    end = first + n < all ? first + n : all;
    return first < all;
}

void forward(const Work &work, const float *x, float *y) {
    const Map &m = work.m;
    Index n_x = m.h * m.w * m.c, n_y = m.w_out * m.c, all = m.n * m.h_out, next = 0;
    bool past = all * n_y >= CACHE;
#pragma omp parallel for num_threads(work.threads) if (work.threads > 1)
    for (int thread = 0; thread < work.threads; thread++) {
        Row row(work, thread);
        for (Index i = 0, end = 0; i < end || take(next, i, end, all, PART); i++) {
            const float *image = x + i / m.h_out * n_x;
            fetch(image, i % m.h_out * m.stride + AHEAD, m.h, m.w * m.c);
            if (!past) fetch(y, i, all, n_y);
            row.find(image, i % m.h_out, false);
            row.move(y + i * n_y, false, past);
        }
        drain();
    }
}

// The input's gradient by `work`, the offsets' by `real`, each if wanted; 1 if there is no memory.
int backward(const Work *work, const Work *real, const float *grad, const float *x, float *grad_x,
             float *by_y, float *by_x) {
    const Work &any = work ? *work : *real;
    const Map &m = any.m;
    Index parts = (m.h_out + PART - 1) / PART, all = m.n * parts, n_grad = m.h_out * m.w_out * m.c;
    Index n_x = m.h * m.w * m.c, next = 0;
    bool past = m.n * n_x >= CACHE;
    float *sums = real ? (float *)__builtin_calloc(all * 2 * m.c, sizeof(float)) : 0;
    if (real && !sums) return 1;
#pragma omp parallel for num_threads(any.threads) if (any.threads > 1)
    for (int thread = 0; thread < any.threads; thread++) {
        for (Index i = 0, stop = 0; i < stop || take(next, i, stop, all, 1); i++) {
            Index image = i / parts, first = i % parts * PART, end = first + PART;
            const float *g = grad + image * n_grad;
            Index last = end < m.h_out ? end : m.h_out, below = end < m.h_out ? end * m.stride : m.h;
            if (work) {
                Row row(*work, thread);
                float *made = grad_x + image * n_x;
                for (Index y = first * m.stride; y < below; y++) {
                    fetch(g, y / m.stride + AHEAD, m.h_out, m.w_out * m.c);
                    if (!past) fetch(made, y, m.h, m.w * m.c);
                    row.find(g, y, true);
                    row.move(made + y * m.w * m.c, true, past);
                }
            }
            if (real) {
                Row row(*real, thread);
                for (Index y = first; y < last; y++) {
                    fetch(x + image * n_x, y * m.stride + AHEAD, m.h, m.w * m.c);
                    row.find(x + image * n_x, y, false);
                    row.slopes(sums + i * 2 * m.c, sums + (i * 2 + 1) * m.c, g + y * m.w_out * m.c);
                }
            }
        }
        drain();
    }
    for (Index i = 0; real && i < m.c; i++) {
        double down = 0, right = 0;
        for (Index k = 0; k < all; k++) {
            down += sums[k * 2 * m.c + i];
            right += sums[(k * 2 + 1) * m.c + i];
        }
        by_y[i] = (float)down, by_x[i] = (float)right;
    }
    __builtin_free(sums);
    return 0;
}

}  // namespace

// Both return 0, or 1 if there is no memory. Maps are (n, h, w, c); offsets are in units of `step`.
extern "C" int nas_shift(const float *x, const float *dy, const float *dx, float *y, Index n,
                         Index h, Index w, Index c, int stride, int step, int rounded,
                         int threads) {
    Work work(n, h, w, c, stride, step, threads);
    if (!work.prepare(dy, dx, rounded)) return 1;
    forward(work, x, y);
    return 0;
}

// Gradients that are not wanted are null; those of the offsets are of the shift by real offsets.
extern "C" int nas_shift_back(const float *grad, const float *x, const float *dy, const float *dx,
                              float *grad_x, float *by_y, float *by_x, Index n, Index h, Index w,
                              Index c, int stride, int step, int rounded, int threads) {
    Work work(n, h, w, c, stride, step, threads), real(n, h, w, c, stride, step, threads);
    if (grad_x && !work.prepare(dy, dx, rounded)) return 1;
    if (by_y && !real.prepare(dy, dx, false)) return 1;
    return backward(grad_x ? &work : 0, by_y ? &real : 0, grad, x, grad_x, by_y, by_x);
}
