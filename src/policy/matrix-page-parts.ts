/** Style and script of the matrix page, as they go into it. */

export const pageStyle = `
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2933;--faint:#5f6b78;--line:#dde2e8;--raised:#f5f7f9;--all:#2e7d5b;--on-all:#fff;--some:#e0b04f;--on-some:#1f2933;--audit:#5c6ec2;--none:#e9ecef;--mark:#1d5fd1;--hover:#eaf1fd}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e4e9ee;--faint:#98a4b1;--line:#323a44;--raised:#1b2027;--all:#3c9a70;--on-all:#fff;--some:#c9973a;--on-some:#14181d;--audit:#7485d8;--none:#262d35;--mark:#7fb0ff;--hover:#22324b}}
*{box-sizing:border-box}
html,body{height:100%;margin:0}
body{display:flex;flex-direction:column;background:var(--paper);color:var(--ink);font:14px/1.45 system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
header{padding:16px 24px 12px;border-bottom:1px solid var(--line)}
h1{font-size:18px;margin:0}
p{margin:2px 0 10px;color:var(--faint)}
noscript p{margin:24px}
.bar{display:flex;flex-wrap:wrap;gap:8px;align-items:center}
input,button{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:6px;padding:5px 10px}
input{width:min(320px,100%)}
button{cursor:pointer}
button:disabled{opacity:.45;cursor:default}
.legend{margin-left:auto;color:var(--faint);white-space:nowrap}
.legend i{display:inline-block;width:14px;height:14px;border-radius:3px;vertical-align:-2px;margin:0 5px 0 14px}
.all{background:var(--all);color:var(--on-all)}.some{background:var(--some);color:var(--on-some)}.audit{background:var(--audit);color:#fff}.none{background:var(--none)}
main{flex:1;overflow:auto;outline:none;min-height:0}
table{border-collapse:separate;border-spacing:2px;margin:0 24px 16px 0}
th{font-weight:400;white-space:nowrap}
thead th{position:sticky;top:0;z-index:1;background:var(--paper);vertical-align:bottom;padding:10px 0 6px}
thead th.column span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:190px;overflow:hidden;text-overflow:ellipsis;display:inline-block;line-height:1.1}
tbody th,thead th.corner{position:sticky;left:0;background:var(--paper);text-align:right;padding:0 10px 0 24px}
tbody th span{display:inline-block;max-width:280px;overflow:hidden;text-overflow:ellipsis;vertical-align:middle}
thead th.corner{z-index:2;color:var(--faint);font-size:12px}
th.group{font-weight:600;cursor:pointer}
th.first:not(.column){border-top:1px solid var(--line)}
th.lit{color:var(--mark)}
td{min-width:62px;width:74px;max-width:74px;height:28px;padding:0 4px;border-radius:4px;text-align:center;font-size:12px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;cursor:default}
table.dense td{min-width:30px;width:30px;max-width:30px;height:22px;padding:0;font-size:0}
td.same{background:none}
td:hover,td:focus{outline:2px solid var(--mark);outline-offset:-1px}
aside{border-top:1px solid var(--line);background:var(--raised);padding:10px 24px;height:132px;overflow:auto}
aside b{font-weight:600}
aside ul{margin:4px 0 0;padding:0;list-style:none;columns:auto 320px}
aside .faint{color:var(--faint)}
.empty{padding:24px;color:var(--faint)}
`;

/** Plain browser JavaScript: it goes into the page as it stands. */
export const pageScript = `
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const grid = document.getElementById('grid');
  const details = document.getElementById('details');
  const search = document.getElementById('search');
  const mostOpen = 150, mostListed = 60, denseColumns = 24;
  const open = new Set(data.open ? data.groups.map((_, i) => i) : []);
  let items = [], at = [0, 0];

  const element = (name, more, ...children) => {
    const made = Object.assign(document.createElement(name), more);
    made.append(...children);
    return made;
  };
  const cellOf = (i, j) => data.cells[data.rows[i][j]];

  function visible() {
    const wanted = search.value.trim().toLowerCase();
    return data.groups.flatMap((group, g) => {
      const all = wanted === '' || group.name.toLowerCase().includes(wanted);
      const members = all ? group.members : group.members.filter(i => data.parties[i].name.toLowerCase().includes(wanted));
      if (members.length === 0) return [];
      if (!open.has(g) && (wanted === '' || members.length > mostListed)) return [{ label: group.name, members, g, group: true, first: false }];
      return members.map((i, n) => ({ label: data.parties[i].name, members: [i], g, group: false, first: n === 0 }));
    });
  }

  function summary(from, to) {
    let allowed = 0, full = 0, total = 0;
    for (const i of from.members) for (const j of to.members) {
      const { kind } = cellOf(i, j);
      if (kind === 'same') continue;
      total++;
      if (kind !== 'none') allowed++;
      if (kind === 'all') full++;
    }
    const kind = total === 0 ? 'same' : allowed === 0 ? 'none' : full === total ? 'all' : 'some';
    return { kind, allowed, total, text: kind === 'all' ? 'all' : kind === 'some' ? allowed + '/' + total : '' };
  }

  function cell(from, to) {
    if (from.group || to.group) return summary(from, to);
    const { kind, text } = cellOf(from.members[0], to.members[0]);
    return { kind, text };
  }

  function header(item, column, n) {
    const th = element('th', { className: [column ? 'column' : '', item.group ? 'group' : '', item.first ? 'first' : ''].join(' '), title: item.group ? item.label + ': open' : item.label });
    th.setAttribute('scope', column ? 'col' : 'row');
    th.append(element('span', { textContent: (item.group ? '\\u25b8 ' : '') + item.label + (item.group ? ' (' + item.members.length + ')' : '') }));
    th.dataset[column ? 'column' : 'row'] = n;
    th.onclick = () => toggle(item.g);
    return th;
  }

  function render() {
    items = visible();
    if (items.length === 0) return void grid.replaceChildren(element('p', { className: 'empty', textContent: 'nothing has this in its name' }));
    at = at.map(n => Math.min(n, items.length - 1));
    const head = element('tr', {}, element('th', { className: 'corner', textContent: 'from \\u2193   to \\u2192' }), ...items.map((item, j) => header(item, true, j)));
    const body = items.map((from, i) => element('tr', {}, header(from, false, i), ...items.map((to, j) => {
      const { kind, text } = cell(from, to);
      const td = element('td', { className: kind, textContent: text, tabIndex: i === at[0] && j === at[1] ? 0 : -1 });
      td.setAttribute('aria-label', from.label + ' to ' + to.label + ': ' + (kind === 'none' ? 'nothing' : text || 'itself'));
      td.dataset.at = i + ' ' + j;
      return td;
    })));
    const table = element('table', { className: items.length > denseColumns ? 'dense' : '' }, element('thead', {}, head), element('tbody', {}, ...body));
    table.setAttribute('role', 'grid');
    grid.replaceChildren(table);
    document.getElementById('open').disabled = data.parties.length > mostOpen || open.size === data.groups.length;
    document.getElementById('close').disabled = open.size === 0;
  }

  function toggle(g) {
    if (open.has(g)) open.delete(g); else open.add(g);
    render();
  }

  function show(i, j) {
    for (const th of grid.querySelectorAll('th.lit')) th.classList.remove('lit');
    grid.querySelector('th[data-row="' + i + '"]').classList.add('lit');
    grid.querySelector('th[data-column="' + j + '"]').classList.add('lit');
    const [from, to] = [items[i], items[j]];
    const title = element('div', {}, element('b', { textContent: from.label }), ' \\u2192 ', element('b', { textContent: to.label }));
    details.replaceChildren(title, ...(from.group || to.group ? groupDetails(from, to) : pairDetails(from.members[0], to.members[0])));
  }

  function pairDetails(i, j) {
    const { kind, words, why } = cellOf(i, j);
    if (kind === 'same') return [element('div', { className: 'faint', textContent: 'the same pod, or no pod at either end' })];
    if (kind === 'none') return [element('div', { textContent: 'nothing' }), element('div', { className: 'faint', textContent: why ?? '' })];
    return [element('ul', {}, ...words.map(word => element('li', { textContent: word })))];
  }

  function groupDetails(from, to) {
    const { allowed, total } = summary(from, to);
    const lines = [];
    const reasons = new Set();
    for (const i of from.members) for (const j of to.members) {
      const { kind, text, why } = cellOf(i, j);
      if (kind === 'none' && why !== undefined) reasons.add(why);
      if (kind === 'all' || kind === 'some') lines.push(data.parties[i].name + ' \\u2192 ' + data.parties[j].name + ': ' + text);
    }
    const shown = lines.slice(0, mostListed);
    if (lines.length > shown.length) shown.push('and ' + (lines.length - shown.length) + ' more');
    return [
      element('div', { className: 'faint', textContent: allowed + ' of ' + total + ' pairs may talk' + (allowed === 0 && reasons.size > 0 ? ': ' + [...reasons].slice(0, 3).join('; ') : '') }),
      element('ul', {}, ...shown.map(textContent => element('li', { textContent }))),
    ];
  }

  const placeOf = target => target.closest?.('td')?.dataset.at?.split(' ').map(Number);
  grid.addEventListener('pointerover', event => { const place = placeOf(event.target); if (place) show(...place); });
  grid.addEventListener('focusin', event => { const place = placeOf(event.target); if (place) show(...place); });
  grid.addEventListener('click', event => {
    const place = placeOf(event.target);
    if (place) focusCell(place);
  });
  function focusCell(place) {
    grid.querySelector('td[tabindex="0"]')?.setAttribute('tabindex', '-1');
    at = place;
    const td = grid.querySelector('td[data-at="' + place.join(' ') + '"]');
    td?.setAttribute('tabindex', '0');
    td?.focus();
  }
  grid.addEventListener('keydown', event => {
    const place = placeOf(event.target);
    if (!place) return;
    const last = items.length - 1, [i, j] = place;
    const next = { ArrowUp: [i - 1, j], ArrowDown: [i + 1, j], ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], Home: [i, 0], End: [i, last], PageUp: [0, j], PageDown: [last, j] }[event.key];
    if (next) {
      event.preventDefault();
      focusCell(next.map(n => Math.max(0, Math.min(last, n))));
    } else if (event.key === 'Enter') {
      for (const g of new Set([items[i].g, items[j].g])) if (open.has(g)) open.delete(g); else open.add(g);
      render();
      focusCell(at);
    }
  });
  search.addEventListener('input', render);
  document.getElementById('open').onclick = () => { data.groups.forEach((_, g) => open.add(g)); render(); };
  document.getElementById('close').onclick = () => { open.clear(); render(); };
  render();
  details.append(element('div', { className: 'faint', textContent: data.parties.length + ' parties in ' + data.groups.length + ' groups' }));
})();
`;
