/** The live view in a real terminal, over a session made by hand: pictures, keys, and every way out. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from './helpers/cli.js'
import { HAS_TMUX, Tmux } from './helpers/tmux.js'

const FAKE = fileURLToPath(new URL('fixtures/top-fake.ts', import.meta.url))
const TSX = fileURLToPath(new URL('../node_modules/tsx/dist/esm/index.mjs', import.meta.url))

function inTerminal(title: string, body: (t: ExecutionContext, tmux: Tmux) => Promise<void>): void {
  if (!HAS_TMUX) test.skip(`${title}: tmux not found`, () => {})
  else test.serial(title, (t) => body(t, new Tmux(t)))
}

/** The view, started from a shell; it says its pid by a file's name. */
async function start(t: ExecutionContext, tmux: Tmux, args = '', environment = ''): Promise<string> {
  const folder = temporaryFolder(t)
  const pidFile = join(folder, 'pid')
  tmux.run(`cd ${folder}; echo be''fore`)
  await tmux.until(/^before$/m)
  tmux.run(
    `${environment} sh -c 'echo $$ > ${pidFile}; exec ${process.execPath} --import ${TSX} ${FAKE} 4242 ${args}'; echo status=$?`,
  )
  await tmux.until(/hot +fake\.py:1/)
  return readFileSync(pidFile, 'utf8').trim()
}

async function isBack(t: ExecutionContext, tmux: Tmux, modes: string, status: number): Promise<void> {
  const screen = await tmux.until(new RegExp(`^status=${status}$`, 'm'))
  t.false(tmux.alternate)
  t.true(tmux.cursorShown)
  t.regex(screen, /^before$/m)
  t.false(screen.includes('SELF%'))
  t.is(await tmux.modes(), modes)
}

for (const [how, leave] of [
  ['q', (tmux) => tmux.type('q')],
  ['Ctrl-C', (tmux) => tmux.key('C-c')],
  ['SIGTERM', (_, pid) => process.kill(pid, 'SIGTERM')],
  ['SIGHUP', (_, pid) => process.kill(pid, 'SIGHUP')],
  ['SIGINT', (_, pid) => process.kill(pid, 'SIGINT')],
] as [string, (tmux: Tmux, pid: number) => void][]) {
  inTerminal(`${how} gives the terminal back as it was`, async (t, tmux) => {
    const modes = await tmux.modes()
    const pid = await start(t, tmux)
    t.true(tmux.alternate)
    t.false(tmux.cursorShown)
    leave(tmux, Number(pid))
    await isBack(t, tmux, modes, 0)
  })
}

inTerminal('a crash gives the terminal back and is seen', async (t, tmux) => {
  const modes = await tmux.modes()
  const pid = await start(t, tmux)
  process.kill(Number(pid), 'SIGUSR2')
  const screen = await tmux.until(/^status=1$/m)
  t.regex(screen, /Error: a defect/)
  t.false(tmux.alternate)
  t.true(tmux.cursorShown)
  t.is(await tmux.modes(), modes)
})

inTerminal("the target's end is said, and all stays readable until q", async (t, tmux) => {
  const modes = await tmux.modes()
  const pid = await start(t, tmux)
  process.kill(Number(pid), 'SIGUSR1')
  await tmux.until(/the process ended/)
  tmux.type('5')
  await tmux.until(/hot +fake\.py:7/)
  tmux.type('1s')
  const screen = await tmux.until(/by total now/)
  t.regex(screen, /hot +fake\.py:1/)
  tmux.type('q')
  await isBack(t, tmux, modes, 3)
})

inTerminal('Ctrl-Z gives the terminal back, fg takes it again', async (t, tmux) => {
  const modes = await tmux.modes()
  await start(t, tmux)
  tmux.key('C-z')
  await tmux.until(/Stopped/)
  t.false(tmux.alternate)
  t.is(await tmux.modes(), modes)
  tmux.run("fg; echo le''ft=$?")
  await tmux.until(/hot +fake\.py:1/)
  t.true(tmux.alternate)
  tmux.type('3')
  await tmux.until(/MainThread/)
  tmux.type('q')
  await tmux.until(/^left=0$/m)
  t.false(tmux.alternate)
  t.is(await tmux.modes(), modes)
})

inTerminal('Ctrl-Z where no shell could let it go on does not stop it', async (t, tmux) => {
  const folder = temporaryFolder(t)
  tmux.run(`cd ${folder}; exec ${process.execPath} --import ${TSX} ${FAKE} 4242`)
  await tmux.until(/hot +fake\.py:1/)
  tmux.key('C-z')
  tmux.type('3')
  await tmux.until(/by CPU now/)
  t.true(tmux.alternate)
})

inTerminal('a terminal that goes away ends it', async (t, tmux) => {
  const pid = Number(await start(t, tmux))
  tmux.close()
  while (alive(pid)) await new Promise((resolve) => setTimeout(resolve, 20))
  t.pass()
})

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

inTerminal('a new size gets a new picture', async (t, tmux) => {
  await start(t, tmux)
  tmux.resize(40, 10)
  // All of it, to the last column of the last line.
  await tmux.until((screen) => {
    const lines = screen.split('\n')
    return lines[9] === 'q quit  ? help  s sort  / filter  m mode' && lines[3] === ' SELF%  TOTAL%  FUNCTION'
  })
  tmux.resize(200, 50)
  const wide = await tmux.until((screen) => screen.split('\n')[49]?.startsWith('q quit') ?? false)
  t.regex(wide, /█+.*hot +fake\.py:1/)
})

inTerminal('pause, filter, save', async (t, tmux) => {
  await start(t, tmux)
  tmux.type('p')
  await tmux.until(/paused/)
  tmux.type('p')
  await tmux.until((screen) => !screen.includes('paused'))
  tmux.type('/nothing')
  await tmux.until(/Nothing matches nothing/)
  tmux.key('Escape')
  await tmux.until(/hot +fake\.py:1/)
  tmux.type('w')
  await tmux.until(/write to: pyprof-4242\.speedscope\.json/)
  tmux.key('C-u')
  const folder = temporaryFolder(t)
  const file = join(folder, 'seen.collapsed')
  tmux.type(file)
  tmux.key('Enter')
  await tmux.until(/6 samples written to/)
  t.regex(readFileSync(file, 'utf8'), /;/)
  tmux.type('w')
  tmux.key('C-u')
  tmux.type(join(folder, 'seen.xyz'))
  tmux.key('Enter')
  await tmux.until(/names no format/)
  t.false(existsSync(join(folder, 'seen.xyz')))
  tmux.type('w')
  tmux.key('C-u')
  tmux.type('/nowhere/seen.json')
  tmux.key('Enter')
  await tmux.until(/its folder does not exist/)
})

inTerminal('NO_COLOR: no colours', async (t, tmux) => {
  await start(t, tmux, '', 'NO_COLOR=1')
  tmux.resize(120, 24)
  await tmux.until(/█/)
  t.notRegex(tmux.colours(), /\x1b\[(?:\d+;)*3[0-7]/)
  t.regex(tmux.colours(), /\x1b\[(?:\d+;)*[17]/)
})

inTerminal('colours, unless NO_COLOR is set', async (t, tmux) => {
  await start(t, tmux)
  tmux.resize(120, 24)
  await tmux.until(/█/)
  t.regex(tmux.colours(), /\x1b\[(?:\d+;)*32m/)
})
