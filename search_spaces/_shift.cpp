// Shifts of channels-last float32 maps: see shift.py for what they mean.
//
// Each channel has a tap or two in a column, and as many in a row. Maps are made row by row, a
// vector of adjacent channels at a time: the rows that any of them takes are added up in a line,
// which stays in the first cache, and then columns of the line. What is outside of the map is 0 in
// the line. Back to the input it is the same with mirrored taps; the offsets' gradients are
// products with the map that taps of slopes would make. No header is needed: it compiles quickly.

namespace {

typedef long long Index;
typedef float Vec4 __attribute__((vector_size(16)));
typedef float Vec8 __attribute__((vector_size(32)));
typedef float Vec16 __attribute__((vector_size(64)));

#define INLINED __attribute__((always_inline))
#define INLINE inline INLINED

const int FEW = 4;  // taps whose weights stay in registers
const int SQUARE = 3;  // rows and columns of taps of which a line would only cost
const Index CACHE = 1 << 20;  // floats: who reads a map below finds it in the caches, if it is there
const int MOST_THREADS = 256;  // that are of use
const Index APART = 128;  // bytes, two lines of a cache, which are often fetched together
const Index PART = 4;  // rows whose gradients are added up in float32, whatever the threads

template <class V> const Index LANES = sizeof(V) / sizeof(float);

template <class V> INLINE V load(const float *from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);  // unaligned
    return v;
}

template <class V> INLINE void store(float *to, V v) { __builtin_memcpy(to, &v, sizeof v); }

// Round bytes up: vectors read whole lines of the cache then, and threads write no common one.
INLINE Index up(Index bytes) { return (bytes + APART - 1) / APART * APART; }

INLINE Index least(Index a, Index b) { return a < b ? a : b; }
INLINE Index most(Index a, Index b) { return a > b ? a : b; }

// The taps of all channels along one axis: tap t reads (t - reach) steps ahead.
struct Taps {
    Index reach;
    float *weight, *slope;  // (2 * reach + 1, channels); slope: derivative of weight by the offset
};

// A map whose pixels are `every` apart in the grid of the input.
struct Map {
    Index h, w;
    int every;
};

// Adjacent channels, and the taps that any of them has. The last block overlaps the one before.
struct Block {
    Index first, y_low, y_high, x_low, x_high;
};

// A row of the source, and which tap takes it.
struct Source {
    const float *row;
    Index tap;
};

Index whole(float offset, Index size, bool rounded) {
    double x = offset, limit = (double)size + 1;
    x = x > limit ? limit : x < -limit ? -limit : x;
    if (!rounded) return (Index)__builtin_floor(x);
    return (Index)(x < 0 ? -__builtin_floor(0.5 - x) : __builtin_floor(x + 0.5));
}

bool fill(Taps &taps, const float *offset, Index c, Index size, int step, bool rounded, bool back) {
    Index reach = 0, high = rounded ? 0 : 1;
    for (Index i = 0; i < c; i++) {
        if (offset[i] != offset[i]) continue;
        Index low = whole(offset[i], size, rounded);
        reach = most(reach, most(-low, low + high));
    }
    taps.reach = reach = least(reach, (size - 1) / step);  // farther taps read nothing but zeros
    Index n = (2 * reach + 1) * c;
    taps.weight = (float *)__builtin_calloc(2 * n, sizeof(float));
    if (!taps.weight) return false;
    taps.slope = taps.weight + n;
    for (Index i = 0; i < c; i++) {
        if (offset[i] != offset[i]) {  // not a number: nor is what it moves
            taps.weight[reach * c + i] = taps.slope[reach * c + i] = offset[i];
            continue;
        }
        Index low = whole(offset[i], size, rounded);
        float part = rounded ? 0 : (float)(offset[i] - __builtin_floor(offset[i]));
        for (Index k = 0; k <= high; k++) {
            if (low + k < -reach || low + k > reach) continue;
            Index at = (reach + (back ? -low - k : low + k)) * c + i;
            taps.weight[at] = k ? part : 1 - part;
            taps.slope[at] = k ? 1 : -1;
        }
    }
    return true;
}

void range(const Taps &taps, Index c, Index first, Index lanes, Index &low, Index &high) {
    low = 2 * taps.reach + 1, high = -1;
    for (Index t = 0; t <= 2 * taps.reach; t++)
        for (Index i = t * c + first; i < t * c + first + lanes; i++)
            if (taps.weight[i] != 0 || taps.slope[i] != 0) low = least(low, t), high = t;
}

// Write past the caches, if `past`, to an aligned place: a line need not be read to be written.
template <class V> INLINE void write(float *to, V v, bool) { store<V>(to, v); }

#if defined __clang__ || defined __AVX512F__
template <> INLINE void write<Vec16>(float *to, Vec16 v, bool past) {
    if (!past) return store<Vec16>(to, v);
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

// line[x * every] = sum of weight times row[x] over `n` taps, added to what is there if `more`.
template <class V, int N>
INLINE void add_rows(float *line, const Source *from, const float *weights, Index width, Index c,
                     Index every, bool more) {
    V weight[N];
    for (int k = 0; k < N; k++) weight[k] = load<V>(weights + from[k].tap * c);
    for (Index x = 0; x < width; x++) {
        V sum = more ? load<V>(line + x * every) : V{};
        for (int k = 0; k < N; k++) sum += weight[k] * load<V>(from[k].row + x * c);
        store<V>(line + x * every, sum);
    }
}

// to[x] = sum of weight times line[x * every + tap * step] over `n` taps, likewise.
template <class V, int N>
INLINE void add_columns(float *to, const float *line, const float *weights, Index width, Index c,
                        Index every, Index step, bool more, bool past) {
    V weight[N];
    for (int k = 0; k < N; k++) weight[k] = load<V>(weights + k * c);
    for (Index x = 0; x < width; x++) {
        V sum = more ? load<V>(to + x * c) : V{};
        for (int k = 0; k < N; k++) sum += weight[k] * load<V>(line + x * every + k * step);
        write<V>(to + x * c, sum, past);
    }
}

// to += the products of the gradient with what `add_columns` would write.
template <class V, int N>
INLINE void add_products(float *to, const float *grad, const float *line, const float *weights,
                         Index width, Index c, Index every, Index step) {
    V weight[N], total = load<V>(to);
    for (int k = 0; k < N; k++) weight[k] = load<V>(weights + k * c);
    for (Index x = 0; x < width; x++) {
        V sum = {};
        for (int k = 0; k < N; k++) sum += weight[k] * load<V>(line + x * every + k * step);
        total += load<V>(grad + x * c) * sum;
    }
    store<V>(to, total);
}

// to[x] = the taps of few rows and adjacent columns, which stay in registers: no line is needed.
template <class V, int ROWS, int COLUMNS>
INLINE void slide(float *to, const Source *from, const float *rows, const float *columns,
                  Index width, Index c, Index first, bool past) {
    V row[ROWS], column[COLUMNS], sums[COLUMNS];
    for (int k = 0; k < ROWS; k++) row[k] = load<V>(rows + from[k].tap * c);
    for (int k = 0; k < COLUMNS; k++) column[k] = load<V>(columns + k * c);
    auto add_up = [&](Index x) {
        V sum = {};
        if (x >= 0 && x < width)
            for (int k = 0; k < ROWS; k++) sum += row[k] * load<V>(from[k].row + x * c);
        return sum;
    };
    for (int k = 0; k < COLUMNS - 1; k++) sums[k] = add_up(first + k);
    for (Index x = 0; x < width; x++) {
        sums[COLUMNS - 1] = add_up(x + first + COLUMNS - 1);
        V sum = column[0] * sums[0];
        for (int k = 1; k < COLUMNS; k++) sum += column[k] * sums[k];
        write<V>(to + x * c, sum, past);
        for (int k = 1; k < COLUMNS; k++) sums[k - 1] = sums[k];
    }
}

// A number that the compiler knows, so that loops over as many taps become straight code.
template <int N> struct Constant {
    static const int value = N;
};

// Call `work` with `n`, from 1 to MOST, as a constant.
template <int MOST, class F> INLINE void with_constant(Index n, const F &work) {
    if constexpr (MOST > 1) {
        if (n < MOST) return with_constant<MOST - 1>(n, work);
    }
    work(Constant<MOST>());
}

// Call `work(k, taps)` for `n` taps, FEW at a time: `k` is the first, `taps` how many, a constant.
template <class F> INLINE void by_few(Index n, const F &work) {
    for (Index k = 0; k < n; k += FEW)
        with_constant<FEW>(least(n - k, FEW), [&](auto taps) INLINED { work(k, taps); });
}

// What a call needs to make one map of another: taps, blocks of channels, scratch for each thread.
template <class V> struct Plan {
    Index n, c;
    Map from, to;
    int step, threads;
    Taps ys = {}, xs = {};
    Index n_blocks = 0, width = 0, scratch = 0;
    bool past = false;
    Block *blocks = 0;
    char *memory = 0;

    Plan(V *, Index n, Index c, Map from, Map to, int step, int threads)
        : n(n), c(c), from(from), to(to), step(step), threads(threads) {}

    ~Plan() {
        __builtin_free(ys.weight);
        __builtin_free(xs.weight);
        __builtin_free(blocks);
        __builtin_free(memory);
    }

    bool prepare(const float *dy, const float *dx, bool rounded, bool back) {
        Index h = back ? to.h : from.h, w = back ? to.w : from.w;
        if (!fill(ys, dy, c, h, step, rounded, back)) return false;
        if (!fill(xs, dx, c, w, step, rounded, back)) return false;
        n_blocks = (c + LANES<V> - 1) / LANES<V>;
        past = n * to.h * to.w * c > CACHE && c % LANES<V> == 0;
        width = up((w + 2 * xs.reach * step) * (Index)sizeof(V));
        scratch = up(width + (2 * ys.reach + 1) * (Index)sizeof(Source));
        blocks = (Block *)__builtin_malloc(n_blocks * sizeof(Block));
        memory = (char *)__builtin_calloc(scratch * threads + APART, 1);
        if (!blocks || !memory) return false;
        for (Index i = 0; i < n_blocks; i++) {
            Block &b = blocks[i];
            b.first = least(i * LANES<V>, c - LANES<V>);
            range(ys, c, b.first, LANES<V>, b.y_low, b.y_high);
            range(xs, c, b.first, LANES<V>, b.x_low, b.x_high);
        }
        return true;
    }

    // The first pixel in a thread's line, whose margins remain zero, as does what `every` leaves.
    float *line(int thread) const { return (float *)own(thread) + xs.reach * step * LANES<V>; }

    Source *sources(int thread) const { return (Source *)(own(thread) + width); }

    char *own(int thread) const { return (char *)up((Index)memory) + scratch * thread; }

    // Find the rows of `image` that a block takes for row `y` of the other map; return how many.
    Index find(Source *found, const Block &b, const float *image, Index y) const {
        Index count = 0;
        for (Index t = b.y_low; t <= b.y_high && b.x_low <= b.x_high; t++) {
            Index row = y * to.every + (t - ys.reach) * step;
            if (row < 0 || (from.every > 1 && row % from.every)) continue;
            if (from.every > 1) row /= from.every;
            if (row < from.h) found[count++] = {image + row * from.w * c + b.first, t};
        }
        return count;
    }

    void add_up(float *line, const Source *found, Index count, const Block &b,
                const float *weights) const {
        by_few(count, [&](Index k, auto taps) INLINED {
            add_rows<V, taps.value>(line, found + k, weights + b.first, from.w, c,
                                    from.every * LANES<V>, k > 0);
        });
    }

    const float *ahead(const float *line, const Block &b, Index k) const {
        return line + (b.x_low + k - xs.reach) * step * LANES<V>;
    }

    // Make the rows from `first` to before `last`, of all images: all of a block before the next
    // one, for what rows have in common is in the first cache then.
    void move(const float *image, float *map, Index first, Index last, int thread) const {
        Source *found = sources(thread);
        float *line = this->line(thread);
        Index n_image = from.h * from.w * c, n_row = to.w * c;
        bool adjacent = step == 1 && from.every == 1 && to.every == 1;
        bool past = this->past && (unsigned long long)map % sizeof(V) == 0;
        for (const Block *b = blocks; b < blocks + n_blocks; b++)
            for (Index i = first; i < last; i++) {
                float *row = map + i * n_row + b->first;
                Index count = find(found, *b, image + i / to.h * n_image, i % to.h);
                Index columns = b->x_high - b->x_low + 1;
                const float *weights = xs.weight + b->x_low * c + b->first;
                if (!count)
                    for (Index x = 0; x < to.w; x++) store<V>(row + x * c, V{});
                else if (adjacent && count <= SQUARE && columns <= SQUARE) {
                    with_constant<SQUARE>(count, [&](auto down) INLINED {
                        with_constant<SQUARE>(columns, [&](auto across) INLINED {
                            slide<V, down.value, across.value>(row, found, ys.weight + b->first,
                                                               weights, to.w, c,
                                                               b->x_low - xs.reach, past);
                        });
                    });
                } else {
                    add_up(line, found, count, *b, ys.weight);
                    by_few(columns, [&](Index k, auto taps) INLINED {
                        add_columns<V, taps.value>(row, ahead(line, *b, k), weights + k * c, to.w,
                                                   c, to.every * LANES<V>, step * LANES<V>, k > 0,
                                                   past && columns <= FEW);
                    });
                }
            }
    }

    // Add the rows' shares of the offsets' gradients to each block's, vertical and horizontal.
    void multiply(const float *image, const float *grad, float *sums, Index first, Index last,
                  int thread) const {
        Source *found = sources(thread);
        float *line = this->line(thread);
        Index n_image = from.h * from.w * c, n_row = to.w * c;
        for (const Block *b = blocks; b < blocks + n_blocks; b++, sums += 2 * LANES<V>)
            for (Index i = first; i < last; i++) {
                Index count = find(found, *b, image + i / to.h * n_image, i % to.h);
                Index columns = b->x_high - b->x_low + 1;
                if (!count) continue;
                for (int across = 0; across < 2; across++) {
                    add_up(line, found, count, *b, across ? ys.weight : ys.slope);
                    const float *weights = (across ? xs.slope : xs.weight) + b->x_low * c + b->first;
                    by_few(columns, [&](Index k, auto taps) INLINED {
                        add_products<V, taps.value>(sums + across * LANES<V>,
                                                    grad + i * n_row + b->first,
                                                    ahead(line, *b, k), weights + k * c, to.w, c,
                                                    to.every * LANES<V>, step * LANES<V>);
                    });
                }
            }
    }
};

// Call `work(first, last, thread)` for all rows, a part at a time. Each thread has its own stretch,
// as in the operations before and after, so that its caches have the rows; who is done helps the
// others.
template <class F> void share(Index rows, int threads, const F &work) {
    Index parts = (rows + PART - 1) / PART, next[MOST_THREADS * APART / sizeof(Index)];
    threads = (int)least(threads, MOST_THREADS);
    auto start = [&](int thread) { return parts * thread / threads; };
    auto place = [&](int thread) { return next + thread * APART / sizeof(Index); };
    for (int thread = 0; thread < threads; thread++) *place(thread) = start(thread);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        for (int k = 0; k < threads; k++) {
            int of = (thread + k) % threads;
            Index part;
            while ((part = __atomic_fetch_add(place(of), 1, __ATOMIC_RELAXED)) < start(of + 1))
                work(part * PART, least((part + 1) * PART, rows), thread);
        }
        drain();
    }
}

template <class V> bool move(const Plan<V> &plan, const float *from, float *to) {
    share(plan.n * plan.to.h, plan.threads, [&](Index first, Index last, int thread) {
        plan.move(from, to, first, last, thread);
    });
    return true;
}

template <class V>
bool multiply(const Plan<V> &plan, const float *x, const float *grad, float *by_y, float *by_x) {
    Index all = plan.n * plan.to.h, parts = (all + PART - 1) / PART;
    Index n_sums = 2 * LANES<V> * plan.n_blocks;
    float *sums = (float *)__builtin_calloc(parts * n_sums, sizeof(float));
    if (!sums) return false;
    share(all, plan.threads, [&](Index first, Index last, int thread) {
        plan.multiply(x, grad, sums + first / PART * n_sums, first, last, thread);
    });
    for (Index i = 0; i < n_sums / 2; i++) {
        Index block = i / LANES<V>, lane = i % LANES<V>;
        const float *from = sums + 2 * LANES<V> * block + lane;
        double down = 0, right = 0;
        for (Index k = 0; k < parts; k++, from += n_sums) down += from[0], right += from[LANES<V>];
        Index channel = plan.blocks[block].first + lane;
        by_y[channel] = (float)down, by_x[channel] = (float)right;
    }
    __builtin_free(sums);
    return true;
}

// Call `work` with as wide a vector as `c` channels fill, which only tells its type.
template <class F> bool with_vector(Index c, const F &work) {
    return c >= 16 ? work((Vec16 *)0)
           : c >= 8 ? work((Vec8 *)0)
           : c >= 4 ? work((Vec4 *)0)
                    : work((float *)0);
}

}  // namespace

// Move a map (n, h, w, c) by `step` times its offsets to one of every `stride`-th row and column;
// or `back`, a gradient of that map to one of the first. Return 0, or 1 if there is no memory.
extern "C" int nas_shift(const float *from, const float *dy, const float *dx, float *to, Index n,
                         Index h, Index w, Index c, int stride, int step, int rounded, int back,
                         int threads) {
    Map full = {h, w, 1}, strided = {(h - 1) / stride + 1, (w - 1) / stride + 1, stride};
    return !with_vector(c, [&](auto *vector) {
        Plan plan(vector, n, c, back ? strided : full, back ? full : strided, step, threads);
        return plan.prepare(dy, dx, rounded, back) && move(plan, from, to);
    });
}

// Write the gradients of the offsets of `x`, which are real ones here, whatever moved it.
extern "C" int nas_shift_slopes(const float *x, const float *dy, const float *dx, const float *grad,
                                float *by_y, float *by_x, Index n, Index h, Index w, Index c,
                                int stride, int threads) {
    Map full = {h, w, 1}, strided = {(h - 1) / stride + 1, (w - 1) / stride + 1, stride};
    return !with_vector(c, [&](auto *vector) {
        Plan plan(vector, n, c, full, strided, 1, threads);
        return plan.prepare(dy, dx, false, false) && multiply(plan, x, grad, by_y, by_x);
    });
}
