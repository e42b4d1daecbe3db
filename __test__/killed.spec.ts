/** `record` killed at any moment: its target runs on, and nothing lies about but the file it was writing to. */
import { readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { cli, temporaryFolder } from './helpers/cli.js'
import { PYTHONS, start } from './helpers/pythons.js'

const [python] = PYTHONS
const withPython = python ? test.serial : test.skip

/** What would show that somebody interfered. */
function state(pid: number): string[] {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n')
  const telling = /^(TracerPid|SigCgt|SigIgn|SigBlk|SigPnd|ShdPnd|Seccomp|Threads):/
  const files = readdirSync(`/proc/${pid}/fd`).map((fd) => `descriptor ${fd}`)
  return [...status.filter((line) => telling.test(line)), ...files]
}

withPython('a killed record leaves no trace but its temporary file', async (t) => {
  const pid = (await start(t, python!, 'spin')).process.pid!
  const before = state(pid)
  const folder = temporaryFolder(t)
  /** Kills a recording `delay` ms after its start, or after it has made its file. */
  async function kill(after: 'start' | 'file', delay: number): Promise<void> {
    const child = cli(t, ['record', `${pid}`, '-d', '60', '-o', join(folder, 'out.pb.gz')])
    while (after === 'file' && readdirSync(folder).length === 0) await sleep(1)
    await sleep(delay)
    child.process.kill('SIGKILL')
    const what = `${delay} ms after its ${after}`
    t.is((await child.done).signal, 'SIGKILL', what)
    t.deepEqual(state(pid), before, what)
    t.regex(readFileSync(`/proc/${pid}/stat`, 'utf8'), /\) [RS] /, what)
    for (const name of readdirSync(folder)) {
      t.regex(name, new RegExp(`^\\.pyprof-${child.process.pid}-[0-9a-f]{8}\\.tmp$`))
      unlinkSync(join(folder, name))
    }
  }
  for (const delay of [0, 50, 150]) await kill('start', delay)
  // From the search for the interpreter to the middle of the recording.
  for (const delay of [0, 1, 2, 5, 10, 20, 50, 200]) await kill('file', delay)
})
