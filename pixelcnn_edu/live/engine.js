// PixelCNN++ in a page: the network of this package, run one pixel at a time, with each activation
// computed once. It is what pixelcnn_edu/cached.py does for chapter 11, in JavaScript without any
// library; names are those of pixelcnn_edu/models.py and blocks.py.
//
// Two functions run the network, one for each stream:
//
//   row(r)       the vertical stream at row r, when rows 0 .. r - 1 of the image are known;
//   pixel(r, c)  the horizontal stream at one position, when the pixels before it are known too.
//                It returns the parameters of that pixel's distribution.
//
// To sample an image, sample each pixel from these parameters and go on; to score an image, take
// the pixels that are there. Both are the same `walk`, so a sample costs what one pass costs.
//
// Features lie as (rows, columns, channels): the channels of neighbouring columns are neighbours in
// memory, and one row of a convolution's kernel is one product of a vector with a matrix.

// ---- Storage

// Features (rows, columns, channels) with a border of zeros, one row above and one column at each
// side: the padding of all convolutions, which look at most one row up and one column sideways.
class Plane {
  constructor(rows, columns, channels) {
    Object.assign(this, { rows, columns, channels });
    this.values = new Float64Array((rows + 1) * (columns + 2) * channels);
  }

  // Where the channels of position (r, c) start in `values`; r and c may be -1.
  at(r, c) {
    return ((r + 1) * (this.columns + 2) + c + 1) * this.channels;
  }
}

// One stream's features after a layer: x itself, and its concatenated ELU. Several layers read the
// latter, so it is computed once, here.
class Stream {
  constructor(rows, columns, filters) {
    this.x = new Plane(rows, columns, filters);
    this.elu = new Plane(rows, columns, 2 * filters);
  }

  set(r, c, features) {
    const { x, elu } = this;
    const start = x.at(r, c);
    for (let k = 0; k < x.channels; k++) x.values[start + k] = features[k];
    concatElu(features, x.channels, elu.values, elu.at(r, c));
  }
}

// ---- Arithmetic

// A matrix (inputs, outputs), stored in blocks of four outputs: the product then reads the weights
// in the order in which they lie, with four sums in registers. Zeros fill up the last block.
class Matrix {
  constructor(values, inputs, outputs) {
    this.inputs = inputs;
    this.outputs = roundUp(outputs, 4);
    this.blocks = new Float32Array(inputs * this.outputs);
    for (let k = 0; k < inputs; k++)
      for (let n = 0; n < outputs; n++)
        this.blocks[(n - (n % 4)) * inputs + 4 * k + (n % 4)] = values[k * outputs + n];
  }

  // out += x[start .. start + inputs] times this matrix
  addProduct(out, x, start) {
    const { blocks, outputs } = this;
    const end = start + this.inputs;
    for (let n = 0, p = 0; n < outputs; n += 4) {
      let s0 = out[n], s1 = out[n + 1], s2 = out[n + 2], s3 = out[n + 3];
      for (let k = start; k < end; k++, p += 4) {
        const v = x[k];
        s0 += v * blocks[p];
        s1 += v * blocks[p + 1];
        s2 += v * blocks[p + 2];
        s3 += v * blocks[p + 3];
      }
      out[n] = s0; out[n + 1] = s1; out[n + 2] = s2; out[n + 3] = s3;
    }
  }
}

// A causal convolution: the last row of its kernel lies on row r, its first column on column c - 1.
class Convolution {
  constructor(weights, name) {
    const { weight, shape: [rows, columns, inputs, outputs], bias } = weights.convolution(name);
    this.bias = bias;
    this.rows = split(weight, rows).map((row) => new Matrix(row, columns * inputs, outputs));
  }

  addTo(out, plane, r, c) {
    add(out, this.bias);
    const above = this.rows.length - 1;
    for (let i = 0; i <= above; i++)
      this.rows[i].addProduct(out, plane.values, plane.at(r - above + i, c - 1));
  }
}

// ELU of x and of -x side by side. One of the two is not negative, and its ELU is itself; the other
// is -|x|, and its ELU is exp(-|x|) - 1.
function concatElu(x, filters, out, start) {
  for (let k = 0; k < filters; k++) {
    const v = x[k], curved = Math.exp(-Math.abs(v)) - 1;
    out[start + k] = v > 0 ? v : curved;
    out[start + filters + k] = v > 0 ? curved : -v;
  }
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const roundUp = (number, multiple) => Math.ceil(number / multiple) * multiple;
const split = (values, parts) => Array.from({ length: parts }, (_, i) =>
  values.subarray((i * values.length) / parts, ((i + 1) * values.length) / parts));

function add(out, values) {
  for (let n = 0; n < values.length; n++) out[n] += values[n];
}

// ---- Layers. Each reads a stream `input`, and fills in a stream `output`: the vertical ones a row
// at a time (`row`), the horizontal ones a position at a time (`position`).

// The gated residual block, in the two halves that its two convolutions make of it.
class GatedResNet {
  constructor(weights, name, input, output, shortcuts) {
    const { rows, columns, channels: filters } = output.x;
    Object.assign(this, { input, shortcuts, output, filters });
    this.convIn = new Convolution(weights, `${name}.conv_in`);
    this.convOut = new Convolution(weights, `${name}.conv_out`);
    if (shortcuts.length) { // one 1x1 convolution reads all short-cut inputs: a matrix for each
      const { weight, bias } = weights.convolution(`${name}.shortcut`);
      this.shortcutBias = bias;
      this.shortcutMatrices = split(weight, shortcuts.length)
        .map((part) => new Matrix(part, 2 * filters, filters));
    }
    this.middle = new Plane(rows, columns, 2 * filters); // concatenated ELU between the halves
    this.narrow = new Float64Array(roundUp(filters, 4));
    this.wide = new Float64Array(roundUp(2 * filters, 4));
  }

  firstHalf(r, c) {
    const { narrow, middle, shortcuts } = this;
    narrow.fill(0);
    this.convIn.addTo(narrow, this.input.elu, r, c);
    if (shortcuts.length) add(narrow, this.shortcutBias);
    for (let i = 0; i < shortcuts.length; i++) {
      const { elu } = shortcuts[i];
      this.shortcutMatrices[i].addProduct(narrow, elu.values, elu.at(r, c));
    }
    concatElu(narrow, this.filters, middle.values, middle.at(r, c));
  }

  secondHalf(r, c) {
    const { narrow, wide, filters } = this;
    wide.fill(0);
    this.convOut.addTo(wide, this.middle, r, c); // values, then gates
    const { x } = this.input, start = x.at(r, c);
    for (let k = 0; k < filters; k++)
      narrow[k] = x.values[start + k] + wide[k] * sigmoid(wide[filters + k]);
    this.output.set(r, c, narrow);
  }

  // The second convolution looks to the right, so the first half goes through the whole row before.
  row(r) {
    for (let c = 0; c < this.middle.columns; c++) this.firstHalf(r, c);
    for (let c = 0; c < this.middle.columns; c++) this.secondHalf(r, c);
  }

  position(r, c) {
    this.firstHalf(r, c);
    this.secondHalf(r, c);
  }
}

// What the two layers that change the resolution share.
class Resize {
  constructor(input, output) {
    Object.assign(this, { input, output });
    this.features = new Float64Array(roundUp(output.x.channels, 4));
  }

  row(r) {
    for (let c = 0; c < this.output.x.columns; c++) this.position(r, c);
  }

  position(r, c) {
    this.features.fill(0);
    this.addTo(this.features, r, c);
    this.output.set(r, c, this.features);
  }
}

// A convolution with stride 2.
class Halve extends Resize {
  constructor(weights, name, input, output) {
    super(input, output);
    this.conv = new Convolution(weights, name);
  }

  addTo(out, r, c) {
    this.conv.addTo(out, this.input.x, 2 * r, 2 * c);
  }
}

// Its transpose: each position is spread onto two rows of the output, and there onto two columns
// (horizontal stream: 2j, 2j + 1) or three (vertical stream: 2j - 1, 2j, 2j + 1). Seen from the
// output, evenness of row and column decides which places of the kernel reach a position.
class Double extends Resize {
  constructor(weights, name, input, output) {
    super(input, output);
    const { weight, shape: [rows, columns, inputs, outputs], bias } = weights.convolution(name);
    this.bias = bias;
    this.taps = split(weight, rows).map((row) => // taps[row][column]: (inputs, outputs)
      split(row, columns).map((tap) => new Matrix(tap, inputs, outputs)));
  }

  addTo(out, r, c) {
    add(out, this.bias);
    const taps = this.taps[r % 2], { x } = this.input;
    const i = Math.floor(r / 2), j = Math.floor(c / 2);
    const spread = (tap, column) => taps[tap].addProduct(out, x.values, x.at(i, column));
    if (taps.length === 2) spread(c % 2, j);
    else if (c % 2 === 0) spread(1, j);
    else {
      spread(2, j);
      spread(0, j + 1);
    }
  }
}

// ---- The network

// A level as the network sees it, from -1 to 1: in float32, as `to_model` of the package has it.
const toModel = (level, levels) =>
  Math.fround(Math.fround(level * Math.fround(2 / (levels - 1))) - 1);

const SCALES = 3; // resolutions: full, half and a quarter
const LAYERS = { block: GatedResNet, halve: Halve, double: Double };
const RESIZES = { block: 1, halve: 2, double: 1 / 2 }; // what becomes of the stride

// The layers in the order in which they run: `halve`, `double` or `block`, the name under which the
// weights have it, and, on the way down, the number of the layer whose output the block takes back
// as a short-cut, last in first out. Number 0 is the start, before all layers.
function plan(blocks) {
  const layers = [], stored = [0];
  for (let scale = 0; scale < SCALES; scale++) {
    const kinds = [...Array(blocks).fill("block"), ...(scale < SCALES - 1 ? ["halve"] : [])];
    for (const kind of kinds) {
      layers.push({ kind, name: `up.${layers.length}` });
      stored.push(layers.length);
    }
  }
  stored.pop(); // the way down starts with this one
  const up = layers.length;
  for (let scale = SCALES - 1; scale >= 0; scale--) {
    // One block more at each finer scale: the twin of the layer that led up to that scale.
    const count = blocks + (scale < SCALES - 1 ? 1 : 0);
    const kinds = [...Array(count).fill("block"), ...(scale > 0 ? ["double"] : [])];
    for (const kind of kinds) {
      const twin = kind === "block" ? { takesBack: stored.pop() } : {};
      layers.push({ kind, name: `down.${layers.length - up}`, ...twin });
    }
  }
  return layers;
}

class PixelCNNpp {
  // weights: what `decodeWeights` made; images of any size, for the weights do not depend on it.
  constructor(weights, height, width) {
    const { config } = weights, [channels] = config.image_shape, F = config.filters;
    Object.assign(this, { config, height, width, name: "JavaScript" });
    const coarsest = 2 ** (SCALES - 1); // zeros fill up to a multiple of it, below and at the right
    const rows = roundUp(height, coarsest), columns = roundUp(width, coarsest);

    // The image, and a channel of ones, which tells mid-grey pixels from padding.
    this.x = new Plane(rows, columns, channels + 1);
    for (let r = 0; r < height; r++)
      for (let c = 0; c < width; c++) this.x.values[this.x.at(r, c) + channels] = 1;

    const streams = (stride) => ({ // stride: pixels of the image from one position to the next
      stride,
      vertical: new Stream(rows / stride, columns / stride, F),
      horizontal: new Stream(rows / stride, columns / stride, F),
    });
    this.stemVertical = new Convolution(weights, "stem.vertical");
    this.stemAbove = new Convolution(weights, "stem.above");
    this.stemLeft = new Convolution(weights, "stem.left");
    this.start = streams(1);
    const outputs = [this.start]; // both streams after each layer
    this.layers = plan(config.blocks).map(({ kind, name, takesBack }) => {
      const before = outputs.at(-1), stored = outputs[takesBack];
      const after = streams(before.stride * RESIZES[kind]);
      outputs.push(after);
      const part = (stream, ...shortcuts) => new LAYERS[kind](weights, `${name}.${stream}`,
        before[stream], after[stream], shortcuts.filter(Boolean));
      return {
        stride: after.stride,
        vertical: part("vertical", stored?.vertical),
        // This one also reads what the vertical stream has just put out.
        horizontal: part("horizontal", after.vertical, stored?.horizontal),
      };
    });
    this.last = outputs.at(-1).horizontal;
    const { weight, bias } = weights.convolution("head");
    Object.assign(this, { head: new Matrix(weight, F, bias.length), headBias: bias });
    this.features = new Float64Array(roundUp(F, 4));
    this.sums = new Float64Array(this.head.outputs);
    this.params = this.sums.subarray(0, bias.length);
  }

  // Let later pixels see the levels of this one.
  set(r, c, pixel) {
    const start = this.x.at(r, c);
    for (let channel = 0; channel < pixel.length; channel++)
      this.x.values[start + channel] = toModel(pixel[channel], this.config.levels);
  }

  row(r) {
    const { features } = this;
    for (let c = 0; c < this.x.columns; c++) { // shifted down: row r sees the rows above
      features.fill(0);
      if (r > 0) this.stemVertical.addTo(features, this.x, r - 1, c);
      this.start.vertical.set(r, c, features);
    }
    for (const { stride, vertical } of this.layers)
      if (r % stride === 0) vertical.row(r / stride);
  }

  // The parameters: valid until the next call.
  pixel(r, c) {
    const { features, sums, last } = this;
    features.fill(0); // what lies above, shifted down, and what lies to the left, shifted right
    if (r > 0) this.stemAbove.addTo(features, this.x, r - 1, c);
    if (c > 0) this.stemLeft.addTo(features, this.x, r, c);
    this.start.horizontal.set(r, c, features);
    for (const { stride, horizontal } of this.layers)
      if (r % stride === 0 && c % stride === 0) horizontal.position(r / stride, c / stride);
    sums.fill(0);
    add(sums, this.headBias);
    this.head.addProduct(sums, last.elu.values, last.elu.at(r, c)); // its first half: ELU of x
    return this.params;
  }
}

// The same network in WebAssembly (engine.c): the same two functions, several times as fast.
class WasmPixelCNNpp {
  // Rejects where the browser has no WebAssembly, no SIMD, or a policy that forbids them.
  static async create(wasm, weights, height, width) {
    const { config, values } = weights, [channels] = config.image_shape, F = config.filters;
    if (F % 4) throw new Error(`filters must be a multiple of 4, got ${F}`);
    const { instance } = await WebAssembly.instantiate(wasm);
    const network = new WasmPixelCNNpp(), { exports } = instance;
    Object.assign(network, { config, height, width, name: "WebAssembly", exports });
    const place = exports.room_for_weights(values.length);
    new Float32Array(exports.memory.buffer, place, values.length).set(values);
    const outputs = weights.convolution("head").bias.length;
    const used = exports.build(channels, height, width, F, config.blocks, outputs);
    if (used !== values.length) throw new Error(`expected ${used} weights, got ${values.length}`);
    network.params = new Float32Array(exports.memory.buffer, exports.parameters(), outputs);
    return network;
  }

  set(r, c, pixel) {
    for (let channel = 0; channel < pixel.length; channel++)
      this.exports.set(r, c, channel, toModel(pixel[channel], this.config.levels));
  }

  row(r) {
    this.exports.row(r);
  }

  pixel(r, c) {
    this.exports.pixel(r, c);
    return this.params;
  }
}

// ---- The likelihood: what the parameters of a pixel mean (pixelcnn_edu/likelihoods.py)

const MINIMUM_LOG_SCALE = -7;

// The middle of a level's bin: 0 becomes -1, the highest level 1.
const centre = (level, levels) => level * (2 / (levels - 1)) - 1;
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))); // -log sigmoid(-x)

function logSumExp(values) {
  const top = Math.max(...values);
  return top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

class DiscretizedLogisticMixture {
  constructor({ image_shape: [channels], mixtures, levels }) {
    Object.assign(this, { channels, mixtures, levels });
    // Where the kinds of parameters start: logits, means, log scales, coefficients.
    this.means = mixtures;
    this.logScales = this.means + mixtures * channels;
    this.coefficients = this.logScales + mixtures * channels;
  }

  // Mean of a channel in component k, given the earlier channels x of the same pixel, in [-1, 1].
  mean(params, k, channel, x) {
    const pairs = (this.channels * (this.channels - 1)) / 2;
    const first = this.coefficients + k * pairs + (channel * (channel - 1)) / 2;
    let mean = params[this.means + k * this.channels + channel];
    for (let d = 0; d < channel; d++) mean += Math.tanh(params[first + d]) * x[d];
    return mean;
  }

  logScale(params, k, channel) {
    return Math.max(params[this.logScales + k * this.channels + channel], MINIMUM_LOG_SCALE);
  }

  // Sample a pixel. `uniform()` gives the next number between 0 and 1: one for each component, then
  // one for each channel, as in `sample` of the package, which gives the same pixel for the same
  // numbers. The temperature divides the logits and multiplies the scales.
  sample(params, uniform, temperature = 1) {
    let chosen = 0, highest = -Infinity;
    for (let k = 0; k < this.mixtures; k++) { // the largest of logits plus Gumbel noise
      const noisy = params[k] / temperature - Math.log(-Math.log(uniform()));
      if (noisy > highest) [highest, chosen] = [noisy, k];
    }
    const pixel = [], x = [];
    for (let channel = 0; channel < this.channels; channel++) {
      const u = uniform(), scale = Math.exp(this.logScale(params, chosen, channel)) * temperature;
      const value = this.mean(params, chosen, channel, x) + scale * (Math.log(u) - Math.log1p(-u));
      const level = Math.round((value + 1) * ((this.levels - 1) / 2));
      pixel.push(Math.min(Math.max(level, 0), this.levels - 1));
      x.push(centre(pixel[channel], this.levels));
    }
    return pixel;
  }

  // Bits that a pixel costs: -log2 of p(r), of p(g | r), of p(b | r, g).
  bits(params, pixel) {
    const x = Array.from(pixel, (level) => centre(level, this.levels));
    const logits = params.subarray(0, this.mixtures), total = logSumExp(logits);
    const joint = x.map(() => []); // log-probability of a component and the channels so far
    for (let k = 0; k < this.mixtures; k++) {
      let sum = logits[k] - total;
      for (let channel = 0; channel < this.channels; channel++) {
        const centred = x[channel] - this.mean(params, k, channel, x);
        sum += logBin(centred, this.logScale(params, k, channel), pixel[channel], this.levels);
        joint[channel].push(sum);
      }
    }
    const known = joint.map(logSumExp);
    return known.map((log, channel) =>
      Math.max(0, ((channel ? known[channel - 1] : 0) - log) / Math.LN2));
  }
}

// The log-probability of a level's bin, log[sigmoid(a) - sigmoid(b)], a and b its edges in scales
// from the mean: log sigmoid(a) + log sigmoid(-b) + log(1 - exp(b - a)), where nothing cancels.
// The bins of the lowest and of the highest level are open: an edge at infinity, and no third term.
function logBin(centred, logScale, level, levels) {
  const halfBin = 1 / (levels - 1), inverseScale = Math.exp(-logScale);
  const a = (centred + halfBin) * inverseScale, b = (centred - halfBin) * inverseScale;
  if (level === 0) return -softplus(-a);
  if (level === levels - 1) return -softplus(b);
  return -softplus(-a) - softplus(b) + Math.log(-Math.expm1(-2 * halfBin * inverseScale));
}

// ---- The walk, and what one does on the way. Images are (height, width, channels), one level
// after the other, as a canvas has them but without its fourth channel.

const pixelOf = (image, { config, width }, r, c) => {
  const channels = config.image_shape[0], start = (r * width + c) * channels;
  return image.subarray(start, start + channels);
};

// Run the network for every pixel in raster order. `visit(r, c, params)` gets the parameters of a
// pixel, and returns the levels that later pixels see there. Stops after each row, so that a page
// can show what there is: `for (const row of walk(...)) ...`.
function* walk(network, visit) {
  for (let r = 0; r < network.height; r++) {
    network.row(r);
    for (let c = 0; c < network.width; c++) network.set(r, c, visit(r, c, network.pixel(r, c)));
    yield r;
  }
}

// All parameters of an image: (height, width, parameters).
function parameters(network, image) {
  const count = network.params.length;
  const all = new Float64Array(network.height * network.width * count);
  const visit = (r, c, params) => {
    all.set(params, (r * network.width + c) * count);
    return pixelOf(image, network, r, c);
  };
  for (const row of walk(network, visit));
  return all;
}

// Bits of each channel of each pixel, given all that comes before it: (height, width, channels).
function bits(network, image) {
  const likelihood = new DiscretizedLogisticMixture(network.config);
  const all = new Float64Array(image.length);
  const visit = (r, c, params) => {
    const pixel = pixelOf(image, network, r, c);
    all.set(likelihood.bits(params, pixel), (r * network.width + c) * pixel.length);
    return pixel;
  };
  for (const row of walk(network, visit));
  return all;
}

// Keep the pixels that come before `first` in raster order, and sample the others into the image;
// with `first` 0, a whole new image. Stops after each row.
function* complete(network, image, first, uniform, temperature = 1) {
  const likelihood = new DiscretizedLogisticMixture(network.config);
  yield* walk(network, (r, c, params) => {
    const pixel = pixelOf(image, network, r, c);
    if (r * network.width + c >= first) pixel.set(likelihood.sample(params, uniform, temperature));
    return pixel;
  });
}

// Uniform numbers strictly between 0 and 1, the same ones for the same seed (the generator that is
// known as mulberry32). JavaScript's own generator cannot be given a seed.
function uniforms(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

// ---- Weights: a script that tools/live_weights.py wrote puts them into `pixelcnnEduWeights`

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// float16 has 1 bit for the sign, 5 for the exponent and 10 for the fraction.
function fromFloat16(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
}

// The weights as float32, in the order of the file, and a way to each convolution's.
function decodeWeights({ config, tensors, float16 }) {
  const bytes = new DataView(bytesOf(float16).buffer);
  const all = new Float32Array(2 ** 16); // there are no more, so each is worked out once
  for (let bits = 0; bits < all.length; bits++) all[bits] = fromFloat16(bits);
  const values = new Float32Array(bytes.byteLength / 2);
  for (let i = 0; i < values.length; i++) values[i] = all[bytes.getUint16(2 * i, true)];
  const tensor = (name) => {
    if (!tensors[name]) throw new Error(`the weights have no ${name}`);
    const { shape, offset } = tensors[name];
    return values.subarray(offset, offset + shape.reduce((product, size) => product * size));
  };
  const convolution = (name) => ({ // weight (rows, columns, inputs, outputs), bias (outputs)
    weight: tensor(`${name}.weight`),
    shape: tensors[`${name}.weight`].shape,
    bias: tensor(`${name}.bias`),
  });
  return { config, values, convolution };
}

// Resolves when the script at `address` has run. A script, not `fetch`, which a page from a file
// may not use.
function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`there are no weights at ${address}`));
    document.head.append(script);
  });
}

// The weights of that name: those in the page, or else from the script at `address`. They are
// loaded and decoded once per page, however many figures ask; after a failure one may ask again.
function weightsOf(name, address) {
  const there = (globalThis.pixelcnnEduWeights ??= {});
  const loading = (globalThis.pixelcnnEduLoading ??= {});
  const load = async () => {
    if (!there[name]) await loadScript(address);
    return decodeWeights(there[name]);
  };
  loading[name] ??= load().catch((error) => {
    delete loading[name];
    throw error;
  });
  return loading[name];
}

// A network that runs here, WebAssembly where there is one with SIMD, else JavaScript; for images
// of the size that the weights were trained on, or of another one.
async function networkFor(weights, height = weights.config.image_shape[1],
  width = weights.config.image_shape[2]) {
  try {
    return await WasmPixelCNNpp.create(bytesOf(WASM), weights, height, width);
  } catch {
    return new PixelCNNpp(weights, height, width);
  }
}
