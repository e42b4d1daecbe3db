/** Real programs from the Python registry, under load, with all their processes and threads. */
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
// @ts-expect-error plain JavaScript, shared with scripts/test.mjs
import { programsPython } from '../scripts/programs.mjs'
import { attach, doctor, type Sample, type SessionOptions } from '../src/index.js'
import { Child, temporaryFolder } from './helpers/cli.js'

const python: string | undefined = programsPython()
const cwd = fileURLToPath(new URL('fixtures/programs', import.meta.url))
const withPrograms = python ? test.serial : test.skip
const exact = python && (await doctor()).engine === 'exact' ? test.serial : test.skip

function start(t: ExecutionContext, args: string[], env: NodeJS.ProcessEnv = {}): Child {
  return new Child(t, python!, args, { cwd, env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env } })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Asks until it is told to stop: four requests at a time. */
function load(t: ExecutionContext, url: string): () => Promise<void> {
  let going = true
  const ask = async () => {
    while (going) {
      // A worker may be busy, or not there yet.
      const response = await fetch(url).catch(() => null)
      await response?.text()
      if (response?.ok) continue
      await new Promise((done) => setTimeout(done, 20))
    }
  }
  const all = Promise.all([ask(), ask(), ask(), ask()])
  t.teardown(() => {
    going = false
  })
  return async () => {
    going = false
    await all
  }
}

/** The samples in which a function ran, until there are enough of them. */
async function seen(pid: number, name: string, options: SessionOptions = {}): Promise<Sample[]> {
  const found: Sample[] = []
  const session = await attach(pid, { rate: 200, subprocesses: true, wait: 10_000, ...options })
  for await (const event of session) {
    if (event.type !== 'sample' || !event.frames.some((frame) => frame.name === name)) continue
    if (found.push(event) === 100) break
  }
  return found
}

function names(sample: Sample): string {
  return sample.frames.map((frame) => frame.name).join(' > ')
}

withPrograms('gunicorn with a Flask application: every worker, from its root to the view', async (t) => {
  const port = await freePort()
  const args = ['-m', 'gunicorn', '--workers', '2', '--bind', `127.0.0.1:${port}`, 'flask_app:app']
  const master = start(t, args)
  await master.says('Listening at')
  const stop = load(t, `http://127.0.0.1:${port}/`)
  const samples = await seen(master.process.pid!, 'flask_work')
  await stop()
  for (const sample of samples) {
    t.is(sample.thread.process.ppid, master.process.pid!, 'a worker, not the master')
    t.regex(names(sample), /^_run_module_as_main > .*run.* > .*Flask\.wsgi_app > .*index > flask_work/)
  }
})

withPrograms('uvicorn with FastAPI: coroutines down to the function', async (t) => {
  const port = await freePort()
  const server = start(t, ['-m', 'uvicorn', '--port', String(port), 'fastapi_app:app'])
  await server.says('Uvicorn running on')
  const stop = load(t, `http://127.0.0.1:${port}/`)
  const samples = await seen(server.process.pid!, 'fastapi_work')
  await stop()
  for (const sample of samples) {
    t.is(sample.thread.pid, server.process.pid!)
    t.regex(names(sample), /^_run_module_as_main > .*FastAPI\.__call__ > .*index > gather > fastapi_work/)
  }
})

withPrograms('a celery worker: its pool processes run the tasks', async (t) => {
  const queue = join(temporaryFolder(t), 'queue')
  const env = { QUEUE: queue, PYTHONPATH: cwd }
  const args = ['-m', 'celery', '-A', 'celery_app', 'worker', '--concurrency', '2', '--loglevel', 'INFO']
  mkdirSync(join(queue, 'control'), { recursive: true })
  const sender = await start(t, ['celery_app.py'], env).done
  t.is(sender.status, 0, sender.stderr)
  const worker = start(t, args, env)
  const samples = await seen(worker.process.pid!, 'celery_work')
  for (const sample of samples) {
    t.is(sample.thread.process.ppid, worker.process.pid!, 'a pool process')
    t.regex(names(sample), /^_run_module_as_main > .*Worker.* > .*add_up > celery_work/)
  }
})

withPrograms('numpy in two of forty threads: those that wait cost no sample', async (t) => {
  const program = start(t, ['numpy_threads.py'])
  await program.says('ready')
  const samples = await seen(program.process.pid!, 'multiply', { subprocesses: false })
  t.deepEqual([...new Set(samples.map(({ thread }) => thread.name))].sort(), ['multiplier 0', 'multiplier 1'])
  const session = await attach(program.process.pid!, { rate: 200 })
  const { threads, functions } = (await session.collect({ duration: 1000 })).summary()
  await session.close()
  t.is(functions[0]!.name, 'multiply')
  t.true(
    threads.every(({ name, share }) => name.startsWith('multiplier') || share < 0.05),
    JSON.stringify(threads),
  )
})

exact(
  'numpy with its native frames: C under the line that called it, BLAS threads by their name',
  async (t) => {
    const program = start(t, ['numpy_blas.py'], { OPENBLAS_NUM_THREADS: '2' })
    await program.says('ready')
    const pid = program.process.pid!
    const comm = readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
    const under = (sample: Sample, caller: string, module: RegExp) => {
      const at = sample.frames.findIndex(({ name }) => name === caller)
      return at >= 0 && sample.frames.slice(at).some((frame) => module.test(frame.module ?? ''))
    }
    const blas = /openblas/
    const [multiplied, sorted, helped]: Sample[][] = [[], [], []]
    const session = await attach(pid, { rate: 500, native: true, engine: 'exact', duration: 30_000 })
    for await (const event of session) {
      if (event.type !== 'sample') continue
      if (under(event, 'multiply', blas)) multiplied!.push(event)
      else if (under(event, 'order', /_multiarray_umath/)) sorted!.push(event)
      else if (event.thread.pythonId === 0 && event.frames.some(({ module }) => blas.test(module ?? '')))
        helped!.push(event)
      t.false(under(event, 'order', blas), 'sorting multiplies nothing')
      if (multiplied!.length > 20 && sorted!.length > 20 && helped!.length > 20) break
    }
    t.true(multiplied!.length > 20 && sorted!.length > 20 && helped!.length > 20)
    for (const { thread } of [...multiplied!, ...sorted!]) t.is(thread.tid, pid)
    for (const { thread, frames } of helped!) {
      t.is(thread.name, comm)
      t.false(frames.some(({ kind }) => kind === 'python'))
    }
    // OpenBLAS keeps a list of its jobs on the caller's stack, at times more than a record holds.
    t.true(session.stats.unmerged < session.stats.samples / 2, JSON.stringify(session.stats))
  },
)
