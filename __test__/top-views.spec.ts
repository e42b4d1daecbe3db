/** What `top` draws: whole screens as in golden/top, and what must hold for every screen. */
import { readFileSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { grid } from '../src/cli/terminal/grid.js'
import { paint, parts, span } from '../src/cli/terminal/paint.js'
import { cut, cutPath, cutStart, fit, width } from '../src/cli/terminal/width.js'
import { OutputLog } from '../src/cli/top/output-log.js'
import { initialState, type State, VIEWS } from '../src/cli/top/state.js'
import { chooser } from '../src/cli/top/views/chooser.js'
import type { Scene } from '../src/cli/top/views/context.js'
import { frame } from '../src/cli/top/views/frame.js'
import { bar, share, shortCommand, shortPath } from '../src/cli/top/views/text.js'
import { shop, shopScene } from './helpers/scene.js'

function golden(t: import('ava').ExecutionContext, name: string, text: string): void {
  const file = new URL(`golden/top/${name}.txt`, import.meta.url)
  if (process.env['PYPROF_WRITE_GOLDEN']) writeFileSync(file, text)
  t.is(text, readFileSync(file, 'utf8'))
}

function draw(scene: Scene, columns: number, rows: number): string {
  return frame(scene, { columns, rows })
    .map((line) => `${paint(line, columns, 'none')}\n`)
    .join('')
}

const SCREENS: [string, Partial<State>, number, number, Partial<Scene>?][] = [
  ['functions-80x24', {}, 80, 24],
  ['functions-40x10', {}, 40, 10],
  ['functions-130x16', {}, 130, 16],
  ['lines-80x24', { view: 'lines', placeSort: 'total' }, 80, 24],
  ['threads-80x24', { view: 'threads' }, 80, 24],
  ['threads-40x10', { view: 'threads' }, 40, 10],
  ['processes-80x24', { view: 'processes' }, 80, 24],
  ['stack-80x24', { view: 'stack' }, 80, 24],
  ['help-80x24', { help: true }, 80, 24],
  ['filter-80x16', { filter: 'shop', measure: 'all', prompt: { for: 'filter', text: 'shop' } }, 80, 16],
  [
    'output-80x16',
    { view: 'output', hasOutput: true },
    80,
    16,
    { output: ['Listening on :8000', 'GET\t/\x1b[31m'] },
  ],
  ['ended-80x16', {}, 80, 16, { ended: 'the process ended' }],
]

for (const [name, state, columns, rows, more] of SCREENS) {
  test(`the screen is as in golden/top/${name}.txt`, (t) => {
    golden(t, name, draw(shopScene(state, more), columns, rows))
  })
}

test('every view fits every screen: as many lines as it has, none wider', (t) => {
  const { model, main } = shop()
  for (const view of VIEWS) {
    for (const more of [
      {},
      { help: true },
      { cursor: { [view]: main.id } },
      { prompt: { for: 'save' as const, text: '長い名前'.repeat(40) } },
    ]) {
      const scene = shopScene({ view, hasOutput: true, ...more }, { model, output: ['漢字'.repeat(99)] })
      for (const columns of [1, 2, 7, 20, 40, 61, 80, 99, 131, 300]) {
        for (const rows of [1, 2, 3, 5, 10, 16, 24, 70]) {
          const lines = frame(scene, { columns, rows }).map((line) => paint(line, columns, 'none'))
          t.is(lines.length, rows, `${view} ${columns}x${rows}`)
          const widest = Math.max(...lines.map(width))
          t.true(widest <= columns, `${view} ${columns}x${rows}: ${widest}`)
        }
      }
    }
  }
})

test('columns are straight beside wide characters', (t) => {
  const lines = draw(shopScene(), 80, 24).split('\n')
  const at = (text: string) => {
    const line = lines.find((line) => line.includes(text))!
    return width(line.slice(0, line.indexOf('/srv/shop')))
  }
  t.is(at('価格を計算する'), at('Shop.render'))
})

test('an empty first picture already has its frame', (t) => {
  const scene = shopScene({}, { target: { pid: 7, command: '', pythonVersion: null } })
  const empty = {
    ...scene,
    model: new (scene.model.constructor as new (ns: number) => typeof scene.model)(5e9),
  }
  const text = draw(empty, 80, 24)
  t.regex(text, /^pid 7/)
  t.regex(text, /Nothing seen yet/)
})

test('colours: all, attributes only, or none', (t) => {
  const line = [span('native', 'native'), span(' bold', 'bold'), span(' plain')]
  t.is(paint(line, 80, 'all'), '\x1b[35mnative\x1b[0m\x1b[1m bold\x1b[0m plain')
  t.is(paint(line, 80, 'attributes'), 'native\x1b[1m bold\x1b[0m plain')
  t.is(paint(line, 80, 'none'), 'native bold plain')
  t.is(paint(line, 8, 'all'), '\x1b[35mnative\x1b[0m\x1b[1m …\x1b[0m')
})

test('native and kernel frames have a colour and their module', (t) => {
  const screen = frame(shopScene(), { columns: 80, rows: 24 }).map((line) => paint(line, 80, 'all'))
  const native = screen.find((line) => line.includes('DOUBLE_matmul'))!
  t.true(native.includes('\x1b[35mDOUBLE_matmul'))
  t.true(native.includes('_multiarray_umath.so'))
  t.false(native.includes('.so:'))
  const stack = frame(shopScene({ view: 'stack', thread: 1 }), { columns: 80, rows: 24 })
  const kernel = stack.map((line) => paint(line, 80, 'all')).find((line) => line.includes('ksys_read'))!
  t.true(kernel.includes('\x1b[36mksys_read'))
  t.true(kernel.includes('[kernel]'))
})

test('names cannot steer the terminal', (t) => {
  const scene = shopScene(
    { view: 'output', hasOutput: true },
    {
      output: ['a\x1b[2Jb\x07'],
      target: { pid: 1, command: 'python3 \x1b]0;x\x07.py', pythonVersion: null },
    },
  )
  const text = draw(scene, 80, 24)
  t.notRegex(text, /[\x1b\x07]/)
  t.true(text.includes('a\\x1b[2Jb\\x07'))
})

test('widths', (t) => {
  t.is(width('abc'), 3)
  t.is(width('漢字'), 4)
  t.is(width('e\u0301'), 1)
  t.is(width('🐍'), 2)
  t.is(width('a\u200bb'), 2)
  t.is(cut('漢字kana', 5), '漢字…')
  t.is(cut('漢字kana', 4), '漢…')
  t.is(cut('abc', 0), '')
  t.is(cutStart('/srv/app/views.py', 9), '…views.py')
  t.is(cutStart('漢字漢字', 4), '…字')
  t.is(cutStart('xe\u0301a', 2), '…a')
  t.is(cutPath('/srv/shop/app/views.py:3', 20), '…/app/views.py:3')
  t.is(cutPath('/srv/app.py', 20), '/srv/app.py')
  t.is(cutPath('/srv/long_name.py', 9), '…_name.py')
  t.is(fit('字', 3, true), ' 字')
  t.is(fit('abcd', 3), 'ab…')
})

test('shares, bars, paths', (t) => {
  t.deepEqual(
    [0, 0.0001, 0.001, 0.5, 0.9999, 12.34].map((part) => share(part, 1)),
    ['0%', '<0.1%', '0.1%', '50.0%', '100%', '1234%'],
  )
  t.is(share(1, 0), '0%')
  t.deepEqual(
    [0, 0.5, 0.56, 1, 7, Number.NaN].map((portion) => bar(portion, 2)),
    ['', '█', '█▏', '██', '██', ''],
  )
  t.is(shortPath('/usr/lib/python3.12/json/encoder.py'), 'json/encoder.py')
  t.is(shortPath('/venv/lib/python3.12/site-packages/flask/app.py'), 'flask/app.py')
  t.is(shortPath('/srv/app.py'), '/srv/app.py')
  t.is(shortCommand('/usr/bin/python3 /srv/app.py'), 'python3 /srv/app.py')
  t.is(shortCommand('python3 /srv/app.py'), 'python3 /srv/app.py')
})

test('parts that do not fit are left out', (t) => {
  const list = ['first', 'second', 'third', '4'].map((text) => [span(text)])
  t.is(paint(parts(list, 80), 80, 'none'), 'first  second  third  4')
  t.is(paint(parts(list, 9), 80, 'none'), 'first  4')
  t.is(paint(parts(list, 3), 3, 'none'), 'fi…')
})

test('space goes to the columns that need it', (t) => {
  const columns = [
    { title: 'A', cell: (row: string[]) => row[0]! },
    { title: 'B', cell: (row: string[]) => row[1]! },
  ]
  const { rows } = grid(columns, [['short', 'x'.repeat(30)]], 30)
  t.is(paint(rows[0]!, 80, 'none'), `short  ${'x'.repeat(22)}…`)
})

test('what a program writes is kept by lines, bounded', (t) => {
  const log = new OutputLog()
  for (const text of ['one\ntw', 'o\n', '\nfour']) log.add(text)
  t.deepEqual(log.lines, ['one', 'two', '', 'four'])
  log.add('!\n')
  t.deepEqual(log.lines, ['one', 'two', '', 'four!'])
  for (let i = 0; i < 3000; i++) log.add(`${i}\n`)
  t.is(log.lines.length, 1000)
  t.is(log.lines.at(-1), '2999')
  for (let i = 0; i < 100; i++) log.add('x'.repeat(1000))
  t.true(log.lines.at(-1)!.length <= 2000)
})

test('the list of processes says why one cannot be profiled', (t) => {
  const process = {
    pid: 7,
    pythonVersion: '3.12.1',
    uid: 0,
    user: 'root',
    threads: 2,
    cpuNs: 61e9,
    uptimeNs: 3 * 3600e9,
    executable: '/usr/bin/python3',
    command: ['python3', 'a.py'],
    obstacle: null,
  }
  const denied = {
    ...process,
    pid: 8,
    obstacle: { code: 'ERR_PYPROF_PERMISSION', message: 'not allowed; use sudo' },
  }
  const state = { processes: [denied, process], cursor: null, filter: '', typing: false }
  const text = (cursor: number | null) =>
    chooser({ ...state, cursor }, { columns: 60, rows: 10 })
      .map((line) => paint(line, 60, 'none'))
      .join('\n')
  t.false(text(null).includes('not allowed'))
  t.true(text(8).includes('not allowed; use sudo'))
  t.true(
    chooser({ ...state, processes: null }, { columns: 60, rows: 10 })
      .flat()
      .some(({ text }) => text.includes('Looking')),
  )
  t.is(initialState().measure, 'wall')
})
