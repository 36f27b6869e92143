// The network of engine.js in C, for WebAssembly with SIMD: the same walk, four numbers at a time,
// in float32. Read engine.js first; the names are the same. There is no C library: what is needed
// of one, memory and an exponential, stands here. tools/live_wasm.py compiles this file.

#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define NOINLINE __attribute__((noinline)) // smaller, and as fast
#define SCALES 3

typedef v128_t Four; // four float32

// ---- Storage

extern unsigned char __heap_base; // where the linker's memory ends and ours begins
static unsigned char *heap;

// Memory is only ever added, and freed with the whole module. It comes filled with zeros.
static NOINLINE void *allocate(unsigned long bytes) {
  unsigned char *start = heap;
  heap += (bytes + 15) & ~15ul;
  unsigned long pages = ((unsigned long)heap + 65535) / 65536, have = __builtin_wasm_memory_size(0);
  if (pages > have) __builtin_wasm_memory_grow(0, pages - have);
  return start;
}

// Features (rows, columns, channels) with a border of zeros: a row above, a column at each side.
typedef struct { int rows, columns, channels; float *values; } Plane;
typedef struct { Plane x, elu; } Stream;      // features, and their concatenated ELU
typedef struct { Stream vertical, horizontal; int stride; } Streams;

static NOINLINE void make_plane(Plane *p, int rows, int columns, int channels) {
  p->rows = rows, p->columns = columns, p->channels = channels;
  p->values = allocate(sizeof(float) * (rows + 1) * (columns + 2) * channels);
}

static inline float *at(const Plane *p, int r, int c) {
  return p->values + ((r + 1) * (p->columns + 2) + c + 1) * p->channels;
}

static NOINLINE void make_stream(Stream *s, int rows, int columns, int filters) {
  make_plane(&s->x, rows, columns, filters);
  make_plane(&s->elu, rows, columns, 2 * filters);
}

// A convolution's weights (rows, columns, inputs, outputs) and bias, where the page put them.
typedef struct { int rows, columns, inputs, outputs; const float *weight, *bias; } Convolution;
static const float *next_weight;

static NOINLINE void take(Convolution *conv, int rows, int columns, int inputs, int outputs) {
  conv->rows = rows, conv->columns = columns, conv->inputs = inputs, conv->outputs = outputs;
  conv->weight = next_weight;
  conv->bias = next_weight += rows * columns * inputs * outputs;
  next_weight += outputs;
}

// ---- Arithmetic

static inline void add_four(float *out, Four values) {
  wasm_v128_store(out, wasm_f32x4_add(wasm_v128_load(out), values));
}

// out += x (inputs) times a matrix (inputs, outputs). 32 outputs at a time are summed in eight
// registers; what is left, in one, and at last one by one. A sum starts at 0, not at what is there
// already: float32 loses less of small numbers that are added to small ones.
static NOINLINE void add_product(float *out, const float *x, const float *matrix, int inputs,
                                 int outputs) {
  int n = 0;
  for (; n + 32 <= outputs; n += 32) {
    const float *w = matrix + n;
    Four sums[8];
    for (int i = 0; i < 8; i++) sums[i] = wasm_f32x4_splat(0);
    for (int k = 0; k < inputs; k++, w += outputs) {
      Four v = wasm_v128_load32_splat(x + k);
      for (int i = 0; i < 8; i++)
        sums[i] = wasm_f32x4_add(sums[i], wasm_f32x4_mul(v, wasm_v128_load(w + 4 * i)));
    }
    for (int i = 0; i < 8; i++) add_four(out + n + 4 * i, sums[i]);
  }
  for (; n + 4 <= outputs; n += 4) {
    Four sum = wasm_f32x4_splat(0);
    for (int k = 0; k < inputs; k++)
      sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load32_splat(x + k),
                                               wasm_v128_load(matrix + k * outputs + n)));
    add_four(out + n, sum);
  }
  for (; n < outputs; n++) {
    float sum = 0;
    for (int k = 0; k < inputs; k++) sum += x[k] * matrix[k * outputs + n];
    out[n] += sum;
  }
}

static NOINLINE void add(float *out, const float *values, int count) {
  for (int n = 0; n < count; n++) out[n] += values[n];
}

static NOINLINE void clear(float *out, int count) {
  for (int n = 0; n < count; n++) out[n] = 0;
}

// A causal convolution: the last row of its kernel lies on row r, its first column on column c - 1.
// The places of a kernel's row are neighbours in memory: one product for all of them.
static NOINLINE void add_convolution(float *out, const Convolution *conv, const Plane *plane, int r,
                                     int c) {
  int inputs = conv->columns * conv->inputs;
  add(out, conv->bias, conv->outputs);
  for (int i = 0; i < conv->rows; i++)
    add_product(out, at(plane, r - conv->rows + 1 + i, c - 1),
                conv->weight + i * inputs * conv->outputs, inputs, conv->outputs);
}

// exp(x) for -87 <= x <= 88, to about 1e-7 of its size. With n the nearest integer to x / log 2
// and r = x - n log 2, exp(x) = 2^n exp(r): the Taylor series of exp(r) converges fast, because
// |r| < 0.35, and 2^n is n written into a float's exponent. log 2 comes in two parts, so that
// n log 2 is not rounded.
static NOINLINE Four exponential(Four x) {
  const float series[] = {1.f / 5040, 1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 1.f / 2, 1, 1};
  x = wasm_f32x4_min(wasm_f32x4_max(x, wasm_f32x4_splat(-87)), wasm_f32x4_splat(88));
  Four n = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_splat(1.44269504f)));
  Four r = wasm_f32x4_sub(x, wasm_f32x4_mul(n, wasm_f32x4_splat(0.693359375f)));
  r = wasm_f32x4_sub(r, wasm_f32x4_mul(n, wasm_f32x4_splat(-2.12194440e-4f)));
  Four sum = wasm_f32x4_splat(series[0]);
  for (int i = 1; i < 8; i++)
    sum = wasm_f32x4_add(wasm_f32x4_mul(sum, r), wasm_f32x4_splat(series[i]));
  Four exponent = wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127));
  return wasm_f32x4_mul(sum, wasm_i32x4_shl(exponent, 23));
}

// ELU of x and of -x side by side.
static NOINLINE void concat_elu(const float *x, int filters, float *out) {
  Four zero = wasm_f32x4_splat(0), one = wasm_f32x4_splat(1);
  for (int k = 0; k < filters; k += 4) {
    Four v = wasm_v128_load(x + k), positive = wasm_f32x4_gt(v, zero);
    Four curved = wasm_f32x4_sub(exponential(wasm_f32x4_neg(wasm_f32x4_abs(v))), one);
    wasm_v128_store(out + k, wasm_v128_bitselect(v, curved, positive));
    wasm_v128_store(out + filters + k, wasm_v128_bitselect(curved, wasm_f32x4_neg(v), positive));
  }
}

static NOINLINE void set_stream(Stream *s, int r, int c, const float *features) {
  float *x = at(&s->x, r, c);
  for (int k = 0; k < s->x.channels; k++) x[k] = features[k];
  concat_elu(features, s->x.channels, at(&s->elu, r, c));
}

// ---- Layers

// One stream's part of a layer: a gated block has all of it, a change of resolution only `conv_in`.
typedef struct {
  Convolution conv_in, shortcut, conv_out;
  Stream *input, *output;
  Stream *shortcuts[2];
  int shortcut_count;
  Plane middle; // between the two halves of a block
} Part;

typedef enum { BLOCK, HALVE, DOUBLE } Kind;
typedef struct { Kind kind; int stride; Part vertical, horizontal; } Layer;

static float *features; // (2F,): what is being summed at one position

static NOINLINE void first_half(Part *p, int r, int c) {
  int filters = p->output->x.channels;
  clear(features, filters);
  add_convolution(features, &p->conv_in, &p->input->elu, r, c);
  if (p->shortcut_count) add(features, p->shortcut.bias, filters);
  for (int i = 0; i < p->shortcut_count; i++) // one 1x1 convolution of all, a matrix for each
    add_product(features, at(&p->shortcuts[i]->elu, r, c),
                p->shortcut.weight + i * 2 * filters * filters, 2 * filters, filters);
  concat_elu(features, filters, at(&p->middle, r, c));
}

static NOINLINE void second_half(Part *p, int r, int c) {
  int filters = p->output->x.channels;
  clear(features, 2 * filters);
  add_convolution(features, &p->conv_out, &p->middle, r, c); // values, then gates
  const float *x = at(&p->input->x, r, c);
  for (int k = 0; k < filters; k += 4) { // x + value * sigmoid(gate)
    Four value = wasm_v128_load(features + k), gate = wasm_v128_load(features + filters + k);
    Four divisor = wasm_f32x4_add(wasm_f32x4_splat(1), exponential(wasm_f32x4_neg(gate)));
    wasm_v128_store(features + k,
                    wasm_f32x4_add(wasm_v128_load(x + k), wasm_f32x4_div(value, divisor)));
  }
  set_stream(p->output, r, c, features);
}

static NOINLINE void resize(Kind kind, Part *p, int r, int c) {
  const Convolution *conv = &p->conv_in;
  const Plane *x = &p->input->x;
  int size = conv->inputs * conv->outputs, i = r / 2, j = c / 2;
  clear(features, conv->outputs);
  if (kind == HALVE) {
    add_convolution(features, conv, x, 2 * r, 2 * c);
  } else { // which places of the kernel reach (r, c) depends on whether r and c are even
    const float *row = conv->weight + r % 2 * conv->columns * size;
    int tap = conv->columns == 2 ? c % 2 : c % 2 ? 2 : 1;
    add(features, conv->bias, conv->outputs);
    add_product(features, at(x, i, j), row + tap * size, conv->inputs, conv->outputs);
    if (tap == 2) add_product(features, at(x, i, j + 1), row, conv->inputs, conv->outputs);
  }
  set_stream(p->output, r, c, features);
}

// ---- The network

static Plane image; // with a channel of ones
static Convolution stem_vertical, stem_above, stem_left, head;
static Streams *streams; // at the start, and after each layer
static Layer *layers;
static int layer_count;
static float *params;

static void make_streams(Streams *s, int stride, int filters) {
  s->stride = stride;
  make_stream(&s->vertical, image.rows / stride, image.columns / stride, filters);
  make_stream(&s->horizontal, image.rows / stride, image.columns / stride, filters);
}

// columns: of the kernel, 3 in the vertical stream and 2 in the horizontal one
static void make_part(Part *p, Kind kind, int columns, Stream *input, Stream *output) {
  int filters = output->x.channels;
  p->input = input, p->output = output;
  if (kind == BLOCK) {
    take(&p->conv_in, 2, columns, 2 * filters, filters);
    if (p->shortcut_count) take(&p->shortcut, 1, 1, p->shortcut_count * 2 * filters, filters);
    take(&p->conv_out, 2, columns, 2 * filters, 2 * filters);
    make_plane(&p->middle, output->x.rows, output->x.columns, 2 * filters);
  } else {
    take(&p->conv_in, 2, columns, filters, filters);
  }
}

// Add a layer after those that there are; `stored`, where there is one, is what it takes back.
static void add_layer(Kind kind, Streams *stored, int filters) {
  Layer *layer = &layers[layer_count];
  Streams *before = &streams[layer_count], *after = &streams[++layer_count];
  Part *v = &layer->vertical, *h = &layer->horizontal;
  layer->kind = kind;
  layer->stride = before->stride;
  if (kind == HALVE) layer->stride *= 2;
  if (kind == DOUBLE) layer->stride /= 2;
  make_streams(after, layer->stride, filters);
  if (kind == BLOCK) { // the horizontal stream also reads the vertical one's output
    h->shortcuts[h->shortcut_count++] = &after->vertical;
    if (stored) {
      v->shortcuts[v->shortcut_count++] = &stored->vertical;
      h->shortcuts[h->shortcut_count++] = &stored->horizontal;
    }
  }
  make_part(v, kind, 3, &before->vertical, &after->vertical);
  make_part(h, kind, 2, &before->horizontal, &after->horizontal);
}

EXPORT(room_for_weights) float *room_for_weights(int count) {
  heap = &__heap_base;
  float *weights = allocate(sizeof(float) * count);
  next_weight = weights;
  return weights;
}

// Build the network over the weights, once they are in place; returns how many it has taken.
EXPORT(build) int build(int channels, int height, int width, int filters, int blocks, int outputs) {
  const float *weights = next_weight;
  make_plane(&image, (height + 3) & ~3, (width + 3) & ~3, channels + 1);
  for (int r = 0; r < height; r++)
    for (int c = 0; c < width; c++) at(&image, r, c)[channels] = 1;
  features = allocate(sizeof(float) * 2 * filters);
  params = allocate(sizeof(float) * outputs);
  int most = 2 * SCALES * (blocks + 1) + 2 * (SCALES - 1);
  layers = allocate(sizeof(Layer) * most);
  streams = allocate(sizeof(Streams) * (most + 1));

  take(&stem_vertical, 2, 3, channels + 1, filters);
  take(&stem_above, 1, 3, channels + 1, filters);
  take(&stem_left, 2, 1, channels + 1, filters);
  make_streams(&streams[0], 1, filters);
  for (int scale = 0; scale < SCALES; scale++) {
    for (int i = 0; i < blocks; i++) add_layer(BLOCK, 0, filters);
    if (scale < SCALES - 1) add_layer(HALVE, 0, filters);
  }
  Streams *stored = &streams[layer_count]; // where the way down starts; it takes back those before
  for (int scale = SCALES - 1; scale >= 0; scale--) {
    for (int i = 0; i < blocks + (scale < SCALES - 1); i++) add_layer(BLOCK, --stored, filters);
    if (scale > 0) add_layer(DOUBLE, 0, filters);
  }
  take(&head, 1, 1, filters, outputs);
  return next_weight - weights;
}

EXPORT(set) void set(int r, int c, int channel, float x) {
  at(&image, r, c)[channel] = x;
}

EXPORT(row) void row(int r) {
  for (int c = 0; c < image.columns; c++) { // shifted down: row r sees the rows above
    clear(features, stem_vertical.outputs);
    if (r > 0) add_convolution(features, &stem_vertical, &image, r - 1, c);
    set_stream(&streams[0].vertical, r, c, features);
  }
  for (Layer *layer = layers; layer < layers + layer_count; layer++) {
    if (r % layer->stride) continue;
    Part *p = &layer->vertical;
    int own = r / layer->stride, columns = p->output->x.columns;
    if (layer->kind == BLOCK) { // the second convolution looks to the right
      for (int c = 0; c < columns; c++) first_half(p, own, c);
      for (int c = 0; c < columns; c++) second_half(p, own, c);
    } else {
      for (int c = 0; c < columns; c++) resize(layer->kind, p, own, c);
    }
  }
}

EXPORT(pixel) void pixel(int r, int c) {
  clear(features, stem_above.outputs); // above, shifted down, and to the left, shifted right
  if (r > 0) add_convolution(features, &stem_above, &image, r - 1, c);
  if (c > 0) add_convolution(features, &stem_left, &image, r, c);
  set_stream(&streams[0].horizontal, r, c, features);
  for (Layer *layer = layers; layer < layers + layer_count; layer++) {
    if (r % layer->stride || c % layer->stride) continue;
    Part *p = &layer->horizontal;
    int own_r = r / layer->stride, own_c = c / layer->stride;
    if (layer->kind == BLOCK) {
      first_half(p, own_r, own_c);
      second_half(p, own_r, own_c);
    } else {
      resize(layer->kind, p, own_r, own_c);
    }
  }
  clear(params, head.outputs);
  add(params, head.bias, head.outputs);
  const float *elu = at(&streams[layer_count].horizontal.elu, r, c); // its first half: ELU of x
  add_product(params, elu, head.weight, head.inputs, head.outputs);
}

EXPORT(parameters) float *parameters(void) {
  return params;
}
