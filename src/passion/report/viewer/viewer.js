"use strict";
// Shows cases beside their predictions. Data come as scripts that call passionData, because a page that was opened
// from a file must not fetch other files. Volumes are uint8, the first axis fastest; the axes run to the left, to the
// back and up.
(() => {
  const FOLDER = new URL(".", document.currentScript.src);
  const VIEWS = { slices: [0, 1, 2], front: [0, 2, 1], side: [1, 2, 0] }; // axes across, down, and through
  const TURN_DEGREES = 15;
  const DEGREES_PER_PIXEL = 0.7;
  const ZOOM_STEP = 1.15;
  const ZOOMS = [0.5, 5];
  const MASK_OPACITY = 150;

  const store = new Map();
  const scripts = new Map();
  window.passionData = (name, content) => store.set(name, content);

  function load(file) {
    if (!scripts.has(file)) {
      scripts.set(file, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(file, FOLDER).href;
        script.onload = resolve;
        script.onerror = () => reject(new Error(`viewer/${file} is not beside this page`));
        document.head.append(script);
      }));
    }
    return scripts.get(file);
  }

  async function volume(file, part) {
    await load(`${file}.js`);
    const bytes = Uint8Array.from(atob(store.get(file)[part]), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const element = (id) => document.getElementById(`viewer-${id}`);
  const solidPossible = Boolean(document.createElement("canvas").getContext("webgl2"));
  const state = { case: null, image: null, grey: null, truth: null, slices: {}, turn: [110, 15], zoom: 1, tiles: new Map() };
  let asked = 0;

  const chosen = (id) => [...element(id).querySelectorAll("input:checked")].map((input) => input.value);
  const subset = () => chosen("modalities").join("+");
  const view = () => chosen("view")[0];
  const backdrop = () => `${state.case.file} ${state.image}`; // of a scene
  const say = (text) => { element("status").textContent = text; };
  const complain = (error) => say(`Cannot show this: ${error.message}.`);

  function colours(labels, opacity) {
    return [[0, 0, 0, 0], ...labels.map(({ colour }) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)).concat(opacity))];
  }

  // A white line between what is inside and what is not.
  function outline(context, width, height, inside) {
    const [wide, high] = [context.canvas.width / width, context.canvas.height / height];
    context.beginPath();
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        if (x > 0 && inside(x, y) !== inside(x - 1, y)) {
          context.moveTo(x * wide, y * high);
          context.lineTo(x * wide, (y + 1) * high);
        }
        if (y > 0 && inside(x, y) !== inside(x, y - 1)) {
          context.moveTo(x * wide, y * high);
          context.lineTo((x + 1) * wide, y * high);
        }
      }
    }
    context.strokeStyle = "white";
    context.lineWidth = 1.5;
    context.stroke();
  }

  // One method, or the reference (no method): a caption, a picture and what it scores.
  class Tile {
    constructor(method) {
      this.method = method;
      this.labels = null;
      this.figure = document.createElement("figure");
      this.figure.className = "tile";
      // A stage for each canvas, because NiiVue takes what its canvas stands in for itself.
      this.figure.innerHTML = "<figcaption></figcaption><div class='stage'><canvas role='img'></canvas></div>"
        + "<div class='stage' hidden><canvas role='application' aria-roledescription='3D view' tabindex='0'></canvas></div>"
        + "<dl></dl>";
      [this.flat, this.solid] = this.figure.querySelectorAll("canvas");
      this.figure.firstChild.textContent = method ?? "Reference";
      steerBy(this.solid);
      element("tiles").append(this.figure);
    }

    // File and part of the labels that are to be shown.
    get wanted() {
      const { file, methods } = state.case;
      return this.method === null ? [file, "reference"] : [`${file}-${methods.indexOf(this.method)}`, subset()];
    }

    // Whether all is there that is to be drawn.
    get ready() {
      return this.labels !== null && this.name === this.wanted.join(" ") && (view() !== "solid" || this.filled === backdrop());
    }

    async prepare() {
      const name = this.wanted.join(" ");
      if (this.name !== name) {
        [this.name, this.labels] = [name, null];
        this.coming = volume(...this.wanted).then((labels) => { if (this.name === name) this.labels = labels; });
      }
      await this.coming;
      // A scene takes its size from its stage.
      this.chooseStage();
      if (view() === "solid") await this.fill();
    }

    chooseStage() {
      this.flat.parentElement.hidden = view() === "solid";
      this.solid.parentElement.hidden = view() !== "solid";
    }

    draw() {
      this.chooseStage();
      const what = this.method === null ? "Reference" : `${this.method} from ${subset()}`;
      this.flat.ariaLabel = `${what}, slice ${state.slices[view()]}`;
      this.solid.ariaLabel = `${what}, in 3D; arrow keys turn it, plus and minus zoom`;
      if (this.told !== this.name) this.tell();
      if (view() === "solid") this.drawSolid();
      else this.drawFlat();
    }

    // What its labels score and how much there is of them.
    tell() {
      const { classes, spacing, regions, dice } = state.case;
      const scores = dice[this.method]?.[subset()];
      const counts = new Array(classes.length + 1).fill(0);
      for (const label of this.labels) counts[label] += 1;
      const millilitres = spacing.reduce((product, step) => product * step, 0.001);
      this.figure.querySelector("dl").replaceChildren(...Object.entries(regions).map(([region, members]) => {
        const pair = document.createElement("div");
        const size = members.reduce((sum, index) => sum + counts[index], 0) * millilitres;
        const score = scores ? `Dice ${(100 * scores[region]).toFixed(1)} %, ` : "";
        pair.innerHTML = "<dt></dt><dd></dd>";
        pair.firstChild.textContent = region;
        pair.lastChild.textContent = `${score}${size.toFixed(size < 10 ? 2 : 1)} ml`;
        return pair;
      }));
      this.told = this.name;
    }

    drawFlat() {
      const { shape, spacing } = state.case;
      const [across, down, through] = VIEWS[view()];
      const [width, height] = [shape[across], shape[down]];
      const strides = [1, shape[0], shape[0] * shape[1]];
      const start = state.slices[view()] * strides[through];
      // Up is up, but rows of the screen run down.
      const row = (y) => start + (down === 2 ? height - 1 - y : y) * strides[down];
      const grey = new ImageData(width, height);
      const mask = new ImageData(width, height);
      const palette = colours(state.case.classes, MASK_OPACITY);
      for (let y = 0; y < height; y += 1) {
        for (let x = 0; x < width; x += 1) {
          const here = row(y) + x * strides[across];
          const at = 4 * (y * width + x);
          const shade = state.grey ? (255 * state.grey[here]) / state.case.levels : 0;
          const colour = palette[this.labels[here]];
          for (let part = 0; part < 3; part += 1) grey.data[at + part] = shade;
          grey.data[at + 3] = 255;
          for (let part = 0; part < 4; part += 1) mask.data[at + part] = colour[part];
        }
      }
      const scale = Math.max(1, Math.round(360 / (width * spacing[across])));
      this.flat.width = Math.round(width * spacing[across] * scale);
      this.flat.height = Math.round(height * spacing[down] * scale);
      const context = this.flat.getContext("2d");
      for (const [image, smooth] of [[grey, true], [mask, false]]) {
        const layer = new OffscreenCanvas(width, height);
        layer.getContext("2d").putImageData(image, 0, 0);
        context.imageSmoothingEnabled = smooth;
        context.drawImage(layer, 0, 0, this.flat.width, this.flat.height);
      }
      if (this.method !== null) outline(context, width, height, (x, y) => state.truth[row(y) + x * strides[across]] > 0);
    }

    drawSolid() {
      this.mask.img.set(this.labels);
      this.scene.updateGLVolume();
      this.look();
    }

    // As all others are seen.
    look() {
      this.scene.scene.volScaleMultiplier = state.zoom;
      this.scene.setRenderAzimuthElevation(...state.turn);
    }

    async begin() {
      await load("niivue.js");
      const scene = new niivue.Niivue({
        backColor: [0, 0, 0, 1], show3Dcrosshair: false, isOrientationTextVisible: false, crosshairWidth: 0,
        dragAndDropEnabled: false, isResizeCanvas: true, logLevel: "error",
        // Its own answers to keys, wheel and touches would change one tile alone and keep the page from scrolling.
        interactive: false,
      });
      await scene.attachToCanvas(this.solid);
      scene.setSliceType(scene.sliceTypeRender);
      this.scene = scene;
    }

    // Puts the image of the case into the scene, and a mask of its shape.
    async fill() {
      this.begun ??= this.begin();
      await this.begun;
      const name = backdrop();
      if (this.filled === name) return;
      const { shape, spacing, classes, levels } = state.case;
      const [x, y, z] = spacing;
      const affine = [-x, 0, 0, 0, 0, -y, 0, 0, 0, 0, z, 0, 0, 0, 0, 1];
      const made = async (voxels, file) => niivue.NVImage.new(
        niivue.NVImage.createNiftiArray(shape, spacing, affine, 2, voxels).buffer, file,
      );
      const seen = Boolean(state.grey);
      const grey = await made(state.grey ?? state.truth.map((label) => (label ? 1 : 0)), "image.nii");
      const mask = await made(state.truth, "mask.nii");
      // Another image may have been chosen meanwhile: its own call fills in that one.
      if (backdrop() !== name || this.filled === name) return;
      [grey.cal_min, grey.cal_max] = [0.05 * levels, levels * (seen ? 0.75 : 1000)];
      const palette = colours(classes, 255);
      mask.setColormapLabel({
        R: palette.map((colour) => colour[0]), G: palette.map((colour) => colour[1]),
        B: palette.map((colour) => colour[2]), A: palette.map((colour) => colour[3]),
        I: palette.map((_, index) => index), labels: ["", ...classes.map((one) => one.name)],
      });
      while (this.scene.volumes.length) this.scene.removeVolume(this.scene.volumes[0]);
      this.scene.addVolume(grey);
      this.scene.addVolume(mask);
      [this.mask, this.filled] = [mask, name];
    }
  }

  function steer(azimuth, elevation, zoom) {
    const within = (value, least, most) => Math.min(Math.max(value, least), most);
    state.turn = [(state.turn[0] + azimuth) % 360, within(state.turn[1] + elevation, -90, 90)];
    state.zoom = within(state.zoom * zoom, ...ZOOMS);
    for (const tile of state.tiles.values()) if (tile.filled && !tile.figure.hidden) tile.look();
  }

  // Dragging, two fingers and keys steer, and so does the wheel with Ctrl; one finger and the wheel scroll the page.
  function steerBy(canvas) {
    let place = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      place = [event.clientX, event.clientY];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch" || !canvas.hasPointerCapture(event.pointerId)) return;
      steer(DEGREES_PER_PIXEL * (event.clientX - place[0]), DEGREES_PER_PIXEL * (event.clientY - place[1]), 1);
      place = [event.clientX, event.clientY];
    });
    let fingers = null;
    const touched = (event) => {
      const before = fingers;
      const [one, other] = event.touches;
      fingers = event.touches.length === 2 ? {
        x: (one.clientX + other.clientX) / 2, y: (one.clientY + other.clientY) / 2,
        apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
      } : null;
      if (!fingers) return;
      if (event.cancelable) event.preventDefault();
      if (before) {
        const [right, down] = [fingers.x - before.x, fingers.y - before.y];
        steer(DEGREES_PER_PIXEL * right, DEGREES_PER_PIXEL * down, fingers.apart / before.apart);
      }
    };
    for (const kind of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
      canvas.addEventListener(kind, touched, { passive: false });
    }
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      // A wheel tells of some hundred, two fingers on a touch pad of a few.
      steer(0, 0, ZOOM_STEP ** (-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY) / 10, 1)));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const change = {
        ArrowLeft: [-TURN_DEGREES, 0, 1], ArrowRight: [TURN_DEGREES, 0, 1], ArrowUp: [0, TURN_DEGREES, 1],
        ArrowDown: [0, -TURN_DEGREES, 1], "+": [0, 0, ZOOM_STEP], "=": [0, 0, ZOOM_STEP], "-": [0, 0, 1 / ZOOM_STEP],
      }[event.key];
      if (!change || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      steer(...change);
    });
  }

  // The tiles that are to be seen, made where there are none yet; all others are hidden.
  function tilesShown() {
    for (const method of [null, ...state.case.methods]) if (!state.tiles.has(method)) state.tiles.set(method, new Tile(method));
    const shown = [null, ...chosen("methods")];
    for (const [method, tile] of state.tiles) tile.figure.hidden = !shown.includes(method);
    return shown.map((method) => state.tiles.get(method));
  }

  async function refresh() {
    const turn = ++asked;
    element("slice").disabled = view() === "solid";
    if (view() !== "solid") {
      element("slice").max = state.case.shape[VIEWS[view()][2]] - 1;
      element("slice").value = state.slices[view()];
    }
    const tiles = tilesShown();
    const waiting = tiles.filter((tile) => !tile.ready);
    for (const tile of tiles) if (tile.ready) tile.draw();
    if (waiting.length) say("Loading");
    try {
      for (const tile of waiting) {
        await tile.prepare();
        // Something else may have been asked for meanwhile.
        if (turn !== asked) return;
        tile.draw();
      }
      say(`Predicted from ${chosen("modalities").join(", ")}.`
        + (solidPossible ? "" : " This browser has no WebGL2, so there is no 3D view."));
    } catch (error) {
      if (turn === asked) complain(error);
    }
  }

  function checkboxes(id, values, checked) {
    const labels = values.map((value) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "checkbox", value, name: `viewer-${id}`, checked: checked(value) });
      if (id === "modalities") input.role = "switch";
      label.append(input, ` ${value}`);
      return label;
    });
    element(id).replaceChildren(element(id).querySelector("legend"), ...labels);
  }

  function options(id, values) {
    element(id).replaceChildren(...values.map(([value, text]) => Object.assign(document.createElement("option"), { value, textContent: text })));
  }

  // The last modality stays, and one that the case lacks cannot be switched on.
  function settleSwitches() {
    const on = chosen("modalities");
    for (const input of element("modalities").querySelectorAll("input")) {
      input.disabled = !state.case.images.includes(input.value) || (on.length === 1 && input.checked);
    }
  }

  async function chooseImage() {
    say("Loading");
    const image = element("image").value;
    const grey = image ? await volume(state.case.file, image) : null;
    if (element("image").value === image) Object.assign(state, { image, grey });
    await refresh();
  }

  async function chooseCase() {
    say("Loading");
    const number = element("case").value;
    const one = store.get("cases")[Number(number)];
    const image = one.images[0] ?? "";
    const truth = await volume(one.file, "reference");
    const grey = image ? await volume(one.file, image) : null;
    // Another case may have been chosen meanwhile; until all is there, the last one is shown whole.
    if (element("case").value !== number) return;
    Object.assign(state, { case: one, image, grey, truth });
    checkboxes("modalities", one.modalities, (name) => one.images.includes(name));
    checkboxes("methods", one.methods, (name) => name === one.methods[0] || name === one.methods.at(-1));
    options("image", [...one.images.map((name) => [name, name]), ["", "none"]]);
    element("classes").replaceChildren(...one.classes.map(({ name, colour }) => {
      const item = document.createElement("li");
      item.textContent = name;
      item.style.setProperty("--colour", colour);
      return item;
    }));
    settleSwitches();
    const counts = Object.fromEntries(Object.entries(VIEWS).map(([name, axes]) => [name, new Array(one.shape[axes[2]]).fill(0)]));
    state.truth.forEach((label, at) => {
      if (!label) return;
      const place = [at % one.shape[0], Math.floor(at / one.shape[0]) % one.shape[1], Math.floor(at / (one.shape[0] * one.shape[1]))];
      for (const [name, axes] of Object.entries(VIEWS)) counts[name][place[axes[2]]] += 1;
    });
    state.slices = Object.fromEntries(Object.entries(counts).map(([name, most]) => [name, most.indexOf(Math.max(...most))]));
    await refresh();
  }

  async function start() {
    try {
      await load("cases.js");
      options("case", store.get("cases").map(({ title }, index) => [index, title]));
      if (!solidPossible) element("view").querySelector("[value=solid]").disabled = true;
      element("view").querySelector(solidPossible ? "[value=solid]" : "[value=slices]").checked = true;
      await chooseCase();
      element("controls").hidden = false;
    } catch (error) {
      complain(error);
      return;
    }
    element("case").addEventListener("change", () => chooseCase().catch(complain));
    element("image").addEventListener("change", () => chooseImage().catch(complain));
    element("modalities").addEventListener("change", () => { settleSwitches(); refresh(); });
    element("methods").addEventListener("change", refresh);
    element("view").addEventListener("change", refresh);
    element("slice").addEventListener("input", () => { state.slices[view()] = Number(element("slice").value); refresh(); });
  }

  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    start();
  }, { rootMargin: "200px" }).observe(element("status"));
})();
