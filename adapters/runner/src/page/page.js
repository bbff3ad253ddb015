'use strict';
(() => {
  // Height of a row; rows drawn beyond what is seen; rows of a function that are shown at all.
  const ROW = 20, BEYOND = 12, MOST_ROWS = 400000;
  // Lanes for spill slots; a function may have more, which the details name.
  const MOST_SLOTS = 20, WIDE = 32, NARROW = 18;
  const SVG = 'http://www.w3.org/2000/svg';
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = id => document.getElementById(id);
  const view = $('view'), space = $('space'), lanes = $('lanes'), detail = $('detail');
  const hex = number => number.toString(16);

  // All text goes through textContent: nothing that the page shows can become markup.
  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function draw(tag, attributes) {
    const node = document.createElementNS(SVG, tag);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    return node;
  }

  // ---- What is known of a function: its rows, its lanes, who reads and gives what. ----

  const registerName = place => {
    if (place >= 64) return 'slot ' + (place - 64);
    if (place < 0) return 'made again';
    const names = data.registers[place >> 5];
    return names[place & 31] || 'register ' + place;
  };

  function group(f) {
    const first = new Int32Array(f.ops.length).fill(-1), after = new Int32Array(f.ops.length);
    const other = new Map();
    f.code.forEach((c, index) => {
      if (c.s >= 0) {
        if (first[c.s] < 0) first[c.s] = index;
        after[c.s] = index + 1;
      } else {
        if (!other.has(c.s)) other.set(c.s, []);
        other.get(c.s).push(index);
      }
    });
    return { first, after, other };
  }

  // A row: what it is (k), the op's position (p), the code's index (c), the instruction in it (i), the stub (s), a text (x).
  function rowsOf(f, folded) {
    const rows = [], { first, after, other } = group(f);
    const rowOfOp = new Int32Array(f.ops.length), rowsOfOp = new Int32Array(f.ops.length);
    const rowOfCode = new Int32Array(f.code.length).fill(-1);
    const rowOfBlock = [], rowOfStub = [], rowOfTable = new Map();
    // What the optimizer dropped stands where it was: before the op that comes next.
    const gone = new Map(), beside = new Map();
    let waiting = [];
    if (comparing) {
      for (const [b, p] of f.sides) {
        if (p < 0) waiting.push(b);
        else {
          if (waiting.length) gone.set(p, waiting);
          waiting = [];
          if (b >= 0) beside.set(p, b);
        }
      }
    }
    const ghost = b => rows.push({ k: 'gone', p: -1, b });
    const isParameter = b => /^\S+: \w+$/.test(f.before[b].o);
    const band = (text, fold, extra) => rows.push(Object.assign({ k: 'band', p: -1, x: text, fold }, extra));
    const code = (index, p, stub) => {
      rowOfCode[index] = rows.length;
      f.code[index].i.forEach((_, i) => rows.push({ k: 'code', p, c: index, i, s: stub }));
    };
    const section = (name, key, serves) => {
      const indices = serves.flatMap(s => other.get(s) || []);
      if (!indices.length) return;
      const shut = folded.has(key);
      band((shut ? '▸ ' : '▾ ') + name, key);
      for (const index of indices) if (!shut) code(index, -1, -1);
    };
    const ends = !f.ops.length;
    section(ends ? 'paths that end a run, shared by all functions' : 'entry from the C convention', 'entry', [-1]);
    section('frame', 'frame', [-2]);
    for (const [name, position, count] of f.blocks) {
      const first_gone = gone.get(position) || [];
      first_gone.filter(b => !isParameter(b)).forEach(ghost);
      rowOfBlock.push(rows.length);
      band(name + ':', '', { block: rowOfBlock.length - 1 });
      first_gone.filter(isParameter).forEach(ghost);
      for (let p = position; p < position + count; p++) {
        if (p > position) (gone.get(p) || []).forEach(ghost);
        rowOfOp[p] = rows.length;
        if (first[p] < 0) rows.push({ k: 'op', p, c: -1, i: 0, s: -1 });
        else for (let index = first[p]; index < after[p]; index++) code(index, p, -1);
        rowsOfOp[p] = rows.length - rowOfOp[p];
      }
    }
    waiting.forEach(ghost);
    f.stubs.forEach((stub, number) => {
      rowOfStub.push(rows.length);
      const from = stub.from.length ? ' · from ' + stub.from.slice(0, 12).join(', ') + (stub.from.length > 12 ? ', …' : '') : '';
      band('▹ ' + stub.name + from, '', { s: number });
      for (const index of other.get(-4 - number) || []) code(index, -1, number);
    });
    section('not reached', 'end', [-3]);
    if (f.tables.length) band('jump tables', '');
    for (const [at, target] of f.tables) {
      rowOfTable.set(at, rows.length);
      rows.push({ k: 'table', p: -1, at, target });
    }
    return { rows, rowOfOp, rowsOfOp, rowOfCode, rowOfBlock, rowOfStub, rowOfTable, beside, cut: Math.min(rows.length, MOST_ROWS) };
  }

  function lanesOf(f) {
    const used = new Set();
    for (const value of f.values) for (const [, , place] of value.s) if (place >= 0) used.add(place);
    const places = [...used].sort((a, b) => a - b);
    const slots = places.filter(place => place >= 64), shown = slots.slice(0, MOST_SLOTS);
    const at = new Map(), list = [];
    let x = 8, bank = -1;
    for (const place of [...places.filter(place => place < 64), ...shown]) {
      const now = Math.min(place >> 5, 2), width = now === 2 ? NARROW : WIDE;
      if (bank >= 0 && now !== bank) x += 8;
      bank = now;
      at.set(place, { x, width, bank: now });
      list.push({ x, width, name: now === 2 ? 's' + (place - 64) : registerName(place) });
      x += width;
    }
    const hidden = slots.length - shown.length;
    if (hidden) {
      list.push({ x: x + 4, width: 30, name: '+' + hidden });
      x += 34;
    }
    return { at, list, width: list.length ? x + 8 : 0, hidden };
  }

  function usersOf(f) {
    const reads = f.ops.map(() => []), gives = f.ops.map(() => []);
    f.values.forEach((value, v) => {
      if (value.d >= 0) gives[value.d].push(v);
      for (const p of value.u) if (reads[p]) reads[p].push(v);
    });
    return { reads, gives };
  }

  // ---- State. ----

  const folded = new Set(['entry', 'frame', 'end']);
  let f, layout, lane, users, number = 0;
  // Whether the ops before the optimizer are shown.
  let comparing = data.functions.some(known => known.before.some(op => op.f > 0));
  // What is chosen by a click, and what the pointer is over: {p} or {v}, or null.
  let chosen = null, over = null;

  const blockOf = p => {
    let low = 0, high = f.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (f.blocks[middle][1] <= p) low = middle; else high = middle - 1;
    }
    return low;
  };

  // Where a moment is: twice a position is the top of the op's rows, one more is below its last instruction's middle.
  function yOf(moment) {
    const p = Math.min(moment >> 1, f.ops.length - 1);
    if (p < 0) return 0;
    if (moment >> 1 > p) return (layout.rowOfOp[p] + layout.rowsOfOp[p]) * ROW;
    if (moment & 1) return (layout.rowOfOp[p] + layout.rowsOfOp[p]) * ROW - 7;
    const block = blockOf(p);
    return (f.blocks[block][1] === p ? layout.rowOfBlock[block] : layout.rowOfOp[p]) * ROW;
  }

  function choose(index) {
    number = index;
    f = data.functions[index];
    chosen = over = null;
    lane = lanesOf(f);
    users = usersOf(f);
    relayout();
    view.scrollTop = 0;
    details();
  }

  function relayout() {
    layout = rowsOf(f, folded);
    document.documentElement.style.setProperty('--lanes', lane.width + 'px');
    document.documentElement.style.setProperty('--before', comparing ? '330px' : '0px');
    document.body.classList.toggle('comparing', comparing);
    const head = $('head');
    head.replaceChildren();
    for (const [name, text] of [['bf', 'before the optimizer'], ['p', ''], ['o', f.ops.length ? 'op' : ''], ['names', ''], ['at', 'offset'], ['by', 'bytes'], ['as', 'instruction'], ['st', 'stencil']]) {
      const cell = make('div', name, text);
      if (name === 'names') {
        for (const { x, width, name } of lane.list) {
          const label = make('span', '', name);
          label.style.left = x + 'px';
          label.style.width = width + 'px';
          cell.append(label);
        }
        if (lane.hidden) cell.title = lane.hidden + ' more spill slots are not drawn';
      }
      head.append(cell);
    }
    space.style.height = (layout.cut + 1) * ROW + 'px';
    for (const node of space.querySelectorAll('.row')) node.remove();
    drawn = [0, 0];
    render();
  }

  // ---- Rows. ----

  const sheet = document.head.appendChild(document.createElement('style')).sheet;
  const patterns = new Map();
  const role = (template, owner) => owner >= '0' && owner <= '3' ? (template.output ? +owner : +owner + 1) & 3 : owner;
  // A class that colours a byte by the owners of its bits: all of it where one owner has it whole, else a strip of eight.
  function pattern(template, owners) {
    const key = template.output + owners;
    let name = patterns.get(key);
    if (name === undefined) {
      name = '';
      const colours = [...owners].map(owner => owner === '.' ? 'transparent' : `var(--o${role(template, owner)})`);
      if (/[^.]/.test(owners)) {
        name = 'b' + patterns.size;
        const stops = colours.map((colour, bit) => `${colour} ${bit * 12.5}% ${(bit + 1) * 12.5}%`);
        const whole = owners === owners[0].repeat(8);
        const ground = whole ? `background-color: color-mix(in srgb, ${colours[0]} 22%, transparent);` : '';
        sheet.insertRule(`.${name} { background-image: linear-gradient(to right, ${stops.join(', ')}); ${ground} }`);
      }
      patterns.set(key, name);
    }
    return name;
  }

  function bytes(c, from, count) {
    const holder = document.createDocumentFragment(), template = data.templates[c.t];
    for (let index = from; index < from + count; index++) {
      const owners = template ? template.owners[index] : '........';
      const byte = make('span', 'b ' + (template ? pattern(template, owners) : ''), c.b.substr(2 * index, 2));
      if (template && /[^.]/.test(owners)) byte.title = owners.replace(/[0-3]/g, owner => roleName(template, +owner)[0]) + '  bits 7 to 0';
      holder.append(byte);
    }
    return holder;
  }

  const roleName = (template, operand) => template.output ? ['out', 'a', 'b', 'c'][operand] : ['a', 'b', 'c', 'd'][operand];

  // What a stencil was filled with, each part in the colour of its bits.
  function operands(c) {
    const holder = document.createDocumentFragment(), template = data.templates[c.t];
    if (!template) return holder;
    c.r.forEach((register, operand) => {
      const kind = template.kinds[operand];
      const text = kind === 's' ? '*' + (1 << register) : registerName(kind === 'f' ? 32 + register : register);
      holder.append(' ', make('span', 'k' + role(template, String(operand)), roleName(template, operand) + '=' + text));
    });
    if (c.m !== undefined) holder.append(' ', make('span', 'ki', '#' + c.m));
    if (c.g !== undefined) {
      const link = make('a', 'kt', '→' + hex(c.g));
      link.dataset.at = c.g;
      holder.append(' ', link);
    }
    return holder;
  }

  // An op as it was, with the passes that change or drop it by themselves.
  function before(cell, op) {
    cell.textContent = op.o;
    cell.title = op.o;
    if (op.f === 0) return;
    cell.classList.add(op.f === 1 ? 'was' : 'gone');
    const names = data.passes.filter((_, bit) => op.p >> bit & 1).map(pass => pass[0]);
    const badge = make('span', 'by', names.length ? names.join(' ') : 'together');
    cell.title += '\n' + (op.f === 1 ? 'changed by ' : 'dropped by ') + (names.join(', ') || 'several passes together');
    cell.append(badge);
  }

  function rowNode(index) {
    const row = layout.rows[index];
    const node = make('div', 'grid row');
    node.style.top = index * ROW + 'px';
    node.dataset.row = index;
    const cells = ['bf', 'p', 'o', 'names', 'at', 'by', 'as', 'st'].map(name => make('div', name));
    const [bf, p, o, , at, by, as, st] = cells;
    if (row.k === 'band') {
      node.classList.add('band');
      if (row.s !== undefined) node.dataset.stub = row.s;
      o.textContent = row.x;
      o.style.gridColumn = '2 / span 2';
      o.style.paddingLeft = '12px';
      o.title = row.x;
      cells.splice(1, 1);
    } else if (row.k === 'gone') {
      node.classList.add('ghost');
      before(bf, f.before[row.b]);
    } else if (row.k === 'table') {
      at.textContent = hex(row.at);
      as.textContent = '→ ' + hex(row.target);
      as.dataset.at = row.target;
    } else {
      if (row.p >= 0) node.dataset.p = row.p;
      if (row.s >= 0) node.dataset.stub = row.s;
      const begins = row.p >= 0 && index === layout.rowOfOp[row.p];
      if (begins) {
        node.classList.add('first');
        p.textContent = row.p;
        o.textContent = f.ops[row.p];
        o.title = f.ops[row.p];
        if (row.c < 0) node.classList.add('dead');
        const b = layout.beside.get(row.p);
        if (b !== undefined) before(bf, f.before[b]);
        else if (comparing && f.before.length) node.classList.add('fresh');
      }
      if (row.c >= 0) {
        const c = f.code[row.c];
        let from = 0;
        for (let i = 0; i < row.i; i++) from += c.i[i][0];
        const [count, text] = c.i[row.i];
        at.textContent = hex(c.at + from);
        by.append(bytes(c, from, count));
        as.textContent = text;
        as.title = text;
        if (row.i === 0 && c.t >= 0) {
          st.append(data.families[c.f], operands(c));
          st.title = st.textContent;
        }
      }
    }
    node.append(...cells);
    return node;
  }

  let drawn = [0, 0], lastSeen = null;
  // Puts the rows in view into the document, and the pieces of live ranges beside them.
  function render() {
    const top = Math.max(0, view.scrollTop - 26);
    const from = Math.max(0, Math.floor(top / ROW) - BEYOND);
    const to = Math.min(layout.cut, Math.ceil((top + view.clientHeight) / ROW) + BEYOND);
    for (const node of [...space.querySelectorAll('.row')]) {
      const index = +node.dataset.row;
      if (index < from || index >= to) node.remove();
    }
    const added = document.createDocumentFragment();
    for (let index = from; index < to; index++) {
      if (index < drawn[0] || index >= drawn[1]) added.append(rowNode(index));
    }
    space.append(added);
    drawn = [from, to];
    if (layout.cut < layout.rows.length && to === layout.cut && !$('more')) {
      const more = make('div', 'row band', (layout.rows.length - layout.cut) + ' more rows are not shown');
      more.id = 'more';
      more.style.top = layout.cut * ROW + 'px';
      more.dataset.row = layout.cut;
      space.append(more);
    }
    const seen = [from, to, number].join();
    if (seen !== lastSeen) drawLanes(from * ROW, to * ROW);
    lastSeen = seen;
    paint();
  }

  function drawLanes(top, bottom) {
    const columns = getComputedStyle($('head')).gridTemplateColumns.split(' ').map(parseFloat);
    lanes.style.left = columns[0] + columns[1] + columns[2] + 'px';
    lanes.setAttribute('width', lane.width);
    lanes.setAttribute('height', layout.cut * ROW);
    lanes.style.top = '0px';
    const parts = document.createDocumentFragment();
    const lastOp = f.ops.length - 1;
    const opsEnd = lastOp < 0 ? 0 : (layout.rowOfOp[lastOp] + layout.rowsOfOp[lastOp]) * ROW;
    for (const { x, width, name } of lane.list) {
      if (name.startsWith('+')) continue;
      const middle = x + width / 2, end = Math.min(bottom, opsEnd);
      const start = Math.max(top, f.blocks.length ? layout.rowOfBlock[0] * ROW : 0);
      if (start < end) parts.append(draw('line', { x1: middle, x2: middle, y1: start, y2: end }));
    }
    f.values.forEach((value, v) => {
      for (const [from, to, place] of value.s) {
        const column = lane.at.get(place);
        if (!column) continue;
        const y0 = yOf(from), y1 = Math.max(yOf(to), y0 + 6);
        if (y1 < top || y0 > bottom) continue;
        const kind = ['int', 'float', 'slot'][column.bank];
        const a = Math.max(y0, top - 50), b = Math.min(y1, bottom + 50), x = column.x + 2, width = column.width - 4;
        const bar = draw('rect', { x, y: a + 1, width, height: Math.max(b - a - 2, 4), rx: 3, class: `r ${kind}${v & 1 ? ' odd' : ''}`, 'data-v': v });
        const title = draw('title', {});
        title.textContent = `${value.n}: ${registerName(place)}`;
        bar.append(title);
        parts.append(bar);
        for (const p of value.u) {
          if (2 * p < from || 2 * p >= to) continue;
          const y = layout.rowOfOp[p] * ROW + ROW / 2;
          if (y >= top && y <= bottom) parts.append(draw('circle', { cx: x + width - 4, cy: Math.min(y, b - 4), r: 2.2 }));
        }
        // The name stays in view while its bar is; it runs down the bar where that is long enough.
        const begin = Math.max(a, view.scrollTop - 20 > a ? Math.min(view.scrollTop, b) : a), room = b - begin;
        const across = Math.floor((width - 3) / 6);
        let text;
        if (value.n.length > across && room > 6.2 * Math.min(value.n.length, 24) + 8) {
          text = draw('text', { transform: `translate(${x + width / 2 - 4} ${begin + 5}) rotate(90)` });
          text.textContent = value.n.slice(0, 24);
        } else {
          text = draw('text', { x: x + 3, y: begin + 12 });
          text.textContent = value.n.length > across ? value.n.slice(0, Math.max(across - 1, 1)) + '…' : value.n;
        }
        if (room >= 13) parts.append(text);
      }
    });
    lanes.replaceChildren(parts);
  }

  // ---- What belongs together. ----

  function related(what) {
    const found = { rows: new Set(), gives: new Set(), reads: new Set(), givers: new Set(), readers: new Set(), stubs: new Set() };
    if (!what) return found;
    if (what.p !== undefined) {
      found.rows.add(what.p);
      for (const v of users.reads[what.p]) {
        found.reads.add(v);
        if (f.values[v].d >= 0) found.givers.add(f.values[v].d);
      }
      for (const v of users.gives[what.p]) {
        found.gives.add(v);
        for (const p of f.values[v].u) found.readers.add(p);
      }
      f.stubs.forEach((stub, s) => stub.from.includes(what.p) && found.stubs.add(s));
    } else if (what.v !== undefined) {
      const value = f.values[what.v];
      found.gives.add(what.v);
      if (value.d >= 0) found.givers.add(value.d);
      for (const p of value.u) found.readers.add(p);
    } else if (what.s !== undefined) {
      found.stubs.add(what.s);
      for (const p of f.stubs[what.s].from) found.readers.add(p);
    }
    return found;
  }

  let chosenSets = related(null), overSets = related(null);
  function paint() {
    const has = (name, key) => chosenSets[name].has(key) || overSets[name].has(key);
    for (const node of space.querySelectorAll('.row')) {
      const p = node.dataset.p === undefined ? -1 : +node.dataset.p;
      const s = node.dataset.stub === undefined ? -1 : +node.dataset.stub;
      node.classList.toggle('chosen', chosenSets.rows.has(p) || chosenSets.stubs.has(s));
      node.classList.toggle('near', overSets.rows.has(p) || overSets.stubs.has(s));
      node.classList.toggle('gives-it', has('givers', p));
      node.classList.toggle('reads-it', has('readers', p));
    }
    for (const node of lanes.querySelectorAll('rect.r')) {
      const v = +node.dataset.v;
      node.classList.toggle('gives', has('gives', v));
      node.classList.toggle('reads', has('reads', v));
    }
  }

  const same = (a, b) => a === b || (a && b && a.p === b.p && a.v === b.v && a.s === b.s);
  function hover(what) {
    if (same(what, over)) return;
    over = what;
    overSets = related(what);
    paint();
  }

  function pick(what, scroll) {
    chosen = what;
    chosenSets = related(what);
    if (scroll && what) {
      if (what.p !== undefined) reveal(layout.rowOfOp[what.p], layout.rowsOfOp[what.p]);
      else if (what.v !== undefined && f.values[what.v].s.length) reveal(Math.floor(yOf(f.values[what.v].s[0][0]) / ROW), 1);
      else if (what.s !== undefined) reveal(layout.rowOfStub[what.s], 1);
    }
    paint();
    details();
    const key = what && (what.p !== undefined ? 'op' + what.p : what.v !== undefined ? 'value' + what.v : 'exit' + what.s);
    const hash = '#' + number + (key ? ':' + key : '');
    if (location.hash !== hash) history.replaceState(null, '', hash);
  }

  function reveal(row, count) {
    const top = row * ROW, room = view.clientHeight - 26;
    if (top < view.scrollTop || top + count * ROW > view.scrollTop + room) {
      view.scrollTop = Math.max(0, top - Math.floor(room / 3));
      render();
    }
  }

  // The op, stub, function or place that an offset of the code belongs to.
  function goTo(at) {
    for (let index = 0; index < data.functions.length; index++) {
      const code = data.functions[index].code, tables = data.functions[index].tables;
      let low = 0, high = code.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (code[middle].at + code[middle].b.length / 2 <= at) low = middle + 1; else high = middle;
      }
      const inCode = low < code.length && code[low].at <= at;
      if (!inCode && !tables.some(entry => entry[0] === at)) continue;
      if (index !== number) {
        $('function').value = index;
        choose(index);
      }
      if (!inCode) {
        reveal(layout.rowOfTable.get(at), 1);
        return true;
      }
      const serves = code[low].s;
      if (serves >= 0) pick({ p: serves }, false);
      else if (serves <= -4) pick({ s: -4 - serves }, false);
      else if (layout.rowOfCode[low] < 0) {
        folded.delete(serves === -1 ? 'entry' : serves === -2 ? 'frame' : 'end');
        relayout();
      }
      reveal(layout.rowOfCode[low], 1);
      return true;
    }
    return false;
  }

  // ---- Details of what is chosen. ----

  function list(title, items) {
    const part = make('div');
    part.append(make('h3', '', title));
    const ul = make('ul');
    for (const item of items) {
      const li = make('li');
      li.append(...[].concat(item));
      ul.append(li);
    }
    part.append(ul);
    return part;
  }
  function link(text, key, value) {
    const node = make('a', '', text);
    node.dataset[key] = value;
    return node;
  }
  const opLinks = positions => {
    const parts = [];
    for (const p of positions.slice(0, 60)) parts.push(parts.length ? ', ' : '', link(String(p), 'p', p));
    if (positions.length > 60) parts.push(', and ' + (positions.length - 60) + ' more');
    return parts;
  };
  const spanText = ([from, to, place]) => {
    const first = from >> 1, last = (to - 1) >> 1;
    return registerName(place) + (first === last ? ' at ' + first : ' ' + first + ' to ' + last);
  };
  const placeAt = (value, moment) => {
    const span = value.s.find(([from, to]) => from <= moment && moment < to);
    return span ? registerName(span[2]) : '';
  };
  const range = value => value.s.slice(0, 12).map(spanText).join(', ') + (value.s.length > 12 ? ', …' : '');

  function stencilItems(indices) {
    const items = indices.slice(0, 200).map(index => {
      const c = f.code[index];
      return [link(hex(c.at), 'at', c.at), ' ', bytes(c, 0, c.b.length / 2), ' ', c.t >= 0 ? data.families[c.f] : '', operands(c)];
    });
    if (indices.length > 200) items.push('and ' + (indices.length - 200) + ' more');
    return items;
  }

  function details() {
    detail.replaceChildren();
    if (!chosen) {
      detail.append(make('h2', 'muted', 'Click an op, a live range, an exit or a distance. Arrow keys go from op to op, / finds.'));
      return;
    }
    if (chosen.p !== undefined) {
      const p = chosen.p, indices = [];
      f.code.forEach((c, index) => c.s === p && indices.push(index));
      detail.append(make('h2', '', p + '  ' + f.ops[p]));
      const reads = users.reads[p].map(v => [link(f.values[v].n, 'v', v), ' in ' + placeAt(f.values[v], 2 * p)]);
      const gives = users.gives[p].map(v => [link(f.values[v].n, 'v', v), '  ' + range(f.values[v]), '\n  read by ', ...opLinks(f.values[v].u)]);
      const exits = [];
      f.stubs.forEach((stub, s) => stub.from.includes(p) && exits.push([link(stub.name, 's', s), ' at ' + hex(stub.at)]));
      for (const [at, roots] of f.safepoints) {
        if (at === p) gives.push('a collector finds ' + roots.map(([name, slot]) => `${name} in slot ${slot}`).join(', '));
      }
      detail.append(list('block ' + f.blocks[blockOf(p)][0] + ' · reads', reads.length ? reads : ['nothing from a register']));
      detail.append(list('gives', gives.concat(exits.map(exit => ['leaves through ', ...exit]))));
      detail.append(list('stencils', indices.length ? stencilItems(indices) : ['no code of its own']));
    } else if (chosen.v !== undefined) {
      const value = f.values[chosen.v];
      detail.append(make('h2', '', value.n));
      detail.append(list('given', [value.d >= 0 ? ['by ', link(value.d + '  ' + f.ops[value.d], 'p', value.d)] : ['by no op: an address that the context holds']]));
      detail.append(list('read by', [opLinks(value.u)]));
      detail.append(list('live range', value.s.slice(0, 200).map(spanText)));
    } else {
      const stub = f.stubs[chosen.s], indices = [];
      f.code.forEach((c, index) => c.s === -4 - chosen.s && indices.push(index));
      detail.append(make('h2', '', stub.name + ' at ' + hex(stub.at)));
      detail.append(list('left from', [opLinks(stub.from)]), make('div'), list('stencils', stencilItems(indices)));
    }
  }

  // ---- Events. ----

  function whatIs(target) {
    const node = target.closest('[data-v], [data-p], [data-stub]');
    if (!node) return null;
    if (node.dataset.v !== undefined) return { v: +node.dataset.v };
    if (node.dataset.p !== undefined) return { p: +node.dataset.p };
    return { s: +node.dataset.stub };
  }
  view.addEventListener('pointerover', event => hover(whatIs(event.target)));
  view.addEventListener('pointerleave', () => hover(null));
  view.addEventListener('click', event => {
    const jump = event.target.closest('[data-at]');
    if (jump) return void goTo(+jump.dataset.at);
    const band = event.target.closest('.band');
    const fold = band && layout.rows[+band.dataset.row] && layout.rows[+band.dataset.row].fold;
    if (fold) {
      if (!folded.delete(fold)) folded.add(fold);
      return relayout();
    }
    pick(whatIs(event.target), false);
  });
  detail.addEventListener('click', event => {
    const node = event.target.closest('a');
    if (!node) return;
    if (node.dataset.at !== undefined) goTo(+node.dataset.at);
    else if (node.dataset.p !== undefined) pick({ p: +node.dataset.p }, true);
    else if (node.dataset.v !== undefined) pick({ v: +node.dataset.v }, true);
    else pick({ s: +node.dataset.s }, true);
  });
  let waiting = false;
  view.addEventListener('scroll', () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      render();
    });
  });
  new ResizeObserver(() => {
    lastSeen = null;
    render();
  }).observe(view);

  function find(text, after) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return false;
    if (/^0x[0-9a-f]+$/.test(wanted)) return goTo(parseInt(wanted, 16));
    for (let step = 1; step <= f.ops.length; step++) {
      const p = (after + step) % f.ops.length;
      if (f.ops[p].toLowerCase().includes(wanted)) {
        pick({ p }, true);
        return true;
      }
    }
    const index = f.code.findIndex(c => c.i.some(instruction => instruction[1].toLowerCase().includes(wanted)));
    return index >= 0 && goTo(f.code[index].at);
  }
  $('search').addEventListener('keydown', event => {
    if (event.key === 'Escape') view.focus();
    if (event.key !== 'Enter') return;
    const found = find(event.target.value, chosen && chosen.p !== undefined ? chosen.p : -1);
    event.target.setCustomValidity(found ? '' : 'not found');
    event.target.style.borderColor = found ? '' : 'var(--ot)';
  });
  document.addEventListener('keydown', event => {
    if (event.target.matches('input, select')) return;
    if (event.key === '/') {
      event.preventDefault();
      $('search').focus();
      $('search').select();
    } else if (event.key === 'Escape') {
      pick(null, false);
    } else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && f.ops.length) {
      event.preventDefault();
      const at = chosen && chosen.p !== undefined ? chosen.p : event.key === 'ArrowDown' ? -1 : f.ops.length;
      pick({ p: Math.min(Math.max(at + (event.key === 'ArrowDown' ? 1 : -1), 0), f.ops.length - 1) }, true);
    }
  });
  $('function').addEventListener('change', event => {
    choose(+event.target.value);
    pick(null, false);
  });
  if (data.passes.length) {
    const button = $('optimizer'), steps = data.passes.filter(pass => pass[1]).map(pass => pass.join(' '));
    button.hidden = false;
    button.title = 'ops before the optimizer. Steps: ' + (steps.join(', ') || 'none');
    button.setAttribute('aria-pressed', comparing);
    button.addEventListener('click', () => {
      comparing = !comparing;
      button.setAttribute('aria-pressed', comparing);
      relayout();
      pick(chosen, true);
    });
  }
  $('theme').addEventListener('click', () => {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    const now = document.documentElement.dataset.theme || (dark ? 'dark' : 'light');
    document.documentElement.dataset.theme = now === 'dark' ? 'light' : 'dark';
  });

  // ---- The beginning. ----

  const h = data.heading;
  $('file').textContent = h.file;
  $('file').title = h.file;
  $('facts').textContent = `${h.target} · size ${h.size} · ${h.bytes} bytes of code, ${(h.bytes / Math.max(h.size, 1)).toFixed(1)} each · stack ${h.frame_bytes} bytes a call` + (h.contained ? '' : ' · not contained');
  data.functions.forEach((known, index) => {
    const option = make('option', '', known.name + (known.ops.length ? ` (${known.ops.length})` : ''));
    option.value = index;
    $('function').append(option);
  });
  if (data.passes.length) {
    const steps = data.passes.filter(pass => pass[1]).map(([name, count]) => `${name} ${count}`);
    $('legend').append(make('span', 'steps', 'optimizer: ' + (steps.join(', ') || 'nothing to do')));
  }
  for (const [colour, text] of [
    ['--int', 'integer register'], ['--float', 'float register'], ['--slot', 'spill slot'],
    ['--o0', 'out'], ['--o1', 'operand a'], ['--o2', 'b'], ['--o3', 'c'], ['--oi', 'immediate'], ['--ot', 'distance to a target'],
  ]) {
    const item = make('span'), box = make('i');
    box.style.background = `var(${colour})`;
    item.append(box, text);
    $('legend').append(item);
  }
  $('legend').append(make('span', '', 'holes of a stencil are marked bit by bit under its bytes'));

  const hash = /^#(\d+)(?::(op|value|exit)(\d+))?$/.exec(location.hash);
  const start = hash && +hash[1] < data.functions.length ? +hash[1] : 0;
  $('function').value = start;
  choose(start);
  if (hash && hash[2]) {
    const key = { op: 'p', value: 'v', exit: 's' }[hash[2]];
    const known = { op: f.ops, value: f.values, exit: f.stubs }[hash[2]];
    if (+hash[3] < known.length) pick({ [key]: +hash[3] }, true);
  }
})();
