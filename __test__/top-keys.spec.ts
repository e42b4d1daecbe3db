/** What keys are, and what they do. */
import test from 'ava'
import { decode, type Key } from '../src/cli/terminal/keyboard.js'
import { type Action, press } from '../src/cli/top/keys.js'
import { initialState, type State } from '../src/cli/top/state.js'
import { type Choosing, pressInChooser } from '../src/cli/top/views/chooser.js'
import { shop } from './helpers/scene.js'

/** Keys as they are typed: `\x1b[B` is the key down. */
function type(model: ReturnType<typeof shop>['model'], state: State, input: string) {
  const actions: Action[] = []
  const { keys, rest } = decode(input)
  if (rest === '\x1b') keys.push({ name: 'escape', text: '' })
  for (const key of keys) {
    const pressed = press(state, key, { model, page: 3, fileName: () => 'out.json' })
    state = pressed.state
    if (pressed.action) actions.push(pressed.action)
    if (pressed.action?.type === 'scope') model.scope = pressed.action.scope
  }
  return { state, actions }
}

function typed(input: string, chosen: Partial<State> = {}) {
  const { model, ...things } = shop()
  return { model, ...things, ...type(model, initialState(chosen), input) }
}

test('bytes become keys', (t) => {
  const names = (input: string) =>
    decode(input).keys.map(({ name, text, ctrl, shift }) =>
      [name ?? text, ctrl, shift].filter((x) => x !== undefined),
    )
  t.deepEqual(names('aZ/?5'), [['a'], ['z', true], ['/'], ['?'], ['5']])
  t.deepEqual(names('\x1b[A\x1bOB\x1b[5~\x1b[1;2D\x1b[Z'), [
    ['up'],
    ['down'],
    ['pageup'],
    ['left', true],
    ['tab', true],
  ])
  t.deepEqual(names('\r\t\x7f \x03\x1a'), [
    ['return'],
    ['tab'],
    ['backspace'],
    ['space'],
    ['c', true],
    ['z', true],
  ])
  t.deepEqual(names('価é🐍'), [['価'], ['é'], ['🐍']])
  t.deepEqual(names('\x1b[200~x\x1b[999;5u'), [['x']])
})

test('the rest of a sequence may come later, an escape alone may be the key', (t) => {
  t.deepEqual(decode('a\x1b['), { keys: [{ name: 'a', text: 'a' }], rest: '\x1b[' })
  t.deepEqual(decode('\x1b[A').rest, '')
  t.deepEqual(decode('\x1b'), { keys: [], rest: '\x1b' })
  t.deepEqual(
    decode('\x1bq').keys.map(({ name }) => name),
    ['escape', 'q'],
  )
})

test('views: by number, by Tab and back', (t) => {
  t.is(typed('2').state.view, 'lines')
  t.is(typed('5').state.view, 'stack')
  t.is(typed('6').state.view, 'functions')
  t.is(typed('6', { hasOutput: true }).state.view, 'output')
  t.is(typed('\t\t').state.view, 'threads')
  t.is(typed('\x1b[Z').state.view, 'stack')
})

test('sort, modes, waiting threads', (t) => {
  t.is(typed('s').state.placeSort, 'total now')
  t.is(typed('S').state.placeSort, 'name')
  t.is(typed('3s').state.threadSort, 'GIL now')
  t.is(typed('4ss').state.processSort, 'pid')
  t.is(typed('5s').state.placeSort, 'self now')
  t.deepEqual(
    ['m', 'mm', 'mmm', 'i', 'ii', 'im'].map((keys) => typed(keys).state.measure),
    ['cpu', 'gil', 'wall', 'all', 'wall', 'cpu'],
  )
})

test('the chosen row stays the same thing, whatever the order', (t) => {
  const { model, state } = typed('jj')
  const place = model.places.functions.places[state.cursor.functions!]!
  t.is(place.name, 'JSONEncoder.iterencode')
  const sorted = type(model, state, 's')
  t.is(sorted.state.cursor.functions, state.cursor.functions)
  t.is(type(model, sorted.state, 'kk').state.cursor.functions === state.cursor.functions, false)
  t.is(typed('\x1b[F').state.cursor.functions, typed('jjjjjjjjjjjjjjjjjjjj').state.cursor.functions)
  t.is(typed('\x1b[F\x1b[H').state.cursor.functions, typed('j').state.cursor.functions)
})

test('Enter opens the lines of a function, Esc goes back', (t) => {
  const { model, state } = typed('jjjjj\r')
  t.is(state.view, 'lines')
  t.is(model.places.functions.places[state.within!]!.name, 'Shop.render')
  const back = type(model, state, '\x1b').state
  t.is(back.view, 'functions')
  t.is(back.within, null)
})

test('Enter opens the stack of a thread, arrows go to the next one', (t) => {
  const { state, main, seller, worker, model } = typed('3/seller\r\r')
  t.is(state.view, 'stack')
  t.is(state.thread, seller.id)
  t.is(type(model, state, '\x1b[D').state.thread, main.id)
  t.is(type(model, state, '\x1b[D\x1b[D').state.thread, worker.id)
})

test('t counts one thread, Enter one process, Esc all again', (t) => {
  const { actions, seller, state, model } = typed('3/seller\r\x1b3jjjt')
  t.deepEqual(actions, [{ type: 'scope', scope: { thread: seller.id } }])
  t.is(state.view, 'functions')
  t.deepEqual(type(model, state, '\x1b').actions, [{ type: 'scope', scope: null }])
  const process = typed('4jj\r')
  t.deepEqual(process.actions, [{ type: 'scope', scope: { process: process.child.id } }])
})

test('a filter works while it is typed; Esc takes it away', (t) => {
  t.is(typed('/shop').state.filter, 'shop')
  t.is(typed('/shop').state.prompt?.text, 'shop')
  t.is(typed('/q価\r').state.filter, 'q価')
  t.is(typed('/q価\r').state.prompt, null)
  t.is(typed('/ab\x7f\x7fc').state.filter, 'c')
  t.is(typed('/ab\x15').state.filter, '')
  t.is(typed('/ab\x1b').state.filter, '')
  t.is(typed('/ab\r\x1b').state.filter, '')
  t.deepEqual(typed('/\x03').actions, [{ type: 'quit' }])
})

test('saving asks for a name and proposes one', (t) => {
  t.is(typed('w').state.prompt?.text, 'out.json')
  t.deepEqual(typed('w\r').actions, [{ type: 'save', path: 'out.json' }])
  t.deepEqual(typed('w\x15/tmp/a b.pb.gz\r').actions, [{ type: 'save', path: '/tmp/a b.pb.gz' }])
  t.deepEqual(typed('w\x15/tmp/old name\x17x\r').actions, [{ type: 'save', path: '/tmp/old x' }])
  t.deepEqual(typed('w\x1b').actions, [])
  t.deepEqual(typed('w\x15\r').actions, [])
})

test('pause, reset, quit, help', (t) => {
  t.deepEqual(
    typed('pr').actions.map(({ type }) => type),
    ['pause', 'reset'],
  )
  t.deepEqual(
    typed(' \x1a').actions.map(({ type }) => type),
    ['pause', 'suspend'],
  )
  t.deepEqual(typed('q').actions, [{ type: 'quit' }])
  t.true(typed('?').state.help)
  t.deepEqual(typed('?q').actions, [])
  t.false(typed('?q').state.help)
  t.is(typed('?jj').state.scroll, 2)
  t.is(typed('?jj3').state.scroll, 0)
})

test('a message stays until the next key', (t) => {
  const message = { text: 'written', bad: false }
  t.is(typed('j', { message }).state.message, null)
})

test('choosing a process', (t) => {
  const process = {
    pythonVersion: '3.12.1',
    uid: 0,
    user: 'root',
    threads: 1,
    cpuNs: 0,
    uptimeNs: 0,
    executable: '/usr/bin/python3',
  }
  const obstacle = { code: 'ERR_PYPROF_PERMISSION', message: 'no' }
  let choosing: Choosing = {
    processes: [
      { ...process, pid: 1, command: ['python3', 'denied.py'], obstacle },
      { ...process, pid: 2, command: ['python3', 'a.py'], obstacle: null },
      { ...process, pid: 3, command: ['python3', 'b.py'], obstacle: null },
    ],
    cursor: null,
    filter: '',
    typing: false,
  }
  const keys = (input: string) => {
    let result: ReturnType<typeof pressInChooser>['chosen'] = null
    const keys: Key[] = decode(input).keys
    for (const key of keys) {
      const pressed = pressInChooser(choosing, key)
      choosing = pressed.choosing
      result = pressed.chosen
    }
    return result
  }
  t.deepEqual(keys('\r'), { pid: 2 })
  t.deepEqual(keys('\x1b[B\r'), { pid: 3 })
  t.is(keys('\x1b[H\r'), null)
  t.deepEqual(keys('/b.py\r'), { pid: 3 })
  t.is(keys('q'), null)
  t.is(choosing.filter, 'b.pyq')
  choosing = { ...choosing, typing: false }
  t.is(keys('q'), 'quit')
})
