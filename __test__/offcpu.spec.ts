/** `--offcpu` from the outside: blocked time from switch to switch, in streams, summaries and files. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import { attach, doctor, PyprofError, record, type Sample } from '../src/index.js'
import { cli } from './helpers/cli.js'
import { decodeProfile } from './helpers/protobuf.js'
import { PYTHONS, start } from './helpers/pythons.js'

const python = PYTHONS.at(-1)
/** Where a descriptor leads; it can be closed already. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

const best = (await doctor()).engine
const exact = python && best === 'exact' ? test.serial : test.skip

exact('each wait is one sample of its own length', async (t) => {
  const target = await start(t, python!, 'naps')
  const session = await attach(target.process.pid!, { offcpu: true })
  const waits: Sample[] = []
  for await (const event of session) {
    if (event.type === 'sample' && event.wait === 'blocked' && waits.push(event) >= 12) break
  }
  t.true(session.stats.offcpu)
  t.true(session.stats.waits >= 12)
  // The first may have begun before the recording.
  for (const wait of waits.slice(1)) {
    t.false(wait.onCpu)
    t.false(wait.goesOn)
    t.is(wait.cpuNs, 0)
    t.true(wait.wallNs >= 15e6, `${wait.wallNs}`)
    t.is(wait.leaf?.name.split('.').at(-1), 'nap')
    t.regex(wait.syscall ?? '', /nanosleep|select/)
  }
})

exact('a wait that goes on is told in pieces, and counted once', async (t) => {
  const target = await start(t, python!, 'wait')
  const session = await attach(target.process.pid!, { offcpu: true })
  const pieces: Sample[] = []
  for await (const event of session) {
    if (event.type === 'sample' && pieces.push(event) >= 3) break
  }
  t.deepEqual(
    pieces.map(({ goesOn }) => goesOn),
    [false, true, true],
  )
  const { stats } = await session.profile()
  t.is(stats.waits, 1)
  t.is(stats.samples, 1)
})

exact('the summary and pprof have the waits and their time', async (t) => {
  const target = await start(t, python!, 'naps')
  const profile = await record({ pid: target.process.pid!, duration: 700, offcpu: true })
  const nap = profile.hottest(50).find(({ name }) => name.endsWith('nap'))
  t.truthy(nap)
  t.true(nap!.waits! >= 5 && nap!.waits! <= 45, JSON.stringify(nap))
  t.true(nap!.blockedNs! > 0.3 * nap!.totalNs)
  const { sampleTypes, samples } = decodeProfile(gunzipSync(profile.to('pprof')))
  t.deepEqual(sampleTypes.slice(3), ['waits/count', 'blocked/nanoseconds'])
  const sum = (index: number) => samples.reduce((all, { value }) => all + Number(value[index]), 0)
  t.is(sum(3), profile.stats.waits)
  t.true(sum(4) <= sum(1))
  const args = ['record', '--offcpu', '-d', '0.4', '--json-summary', String(target.process.pid)]
  const { stdout, stderr, status } = await cli(t, args).done
  t.is(status, 0, stderr)
  t.regex(stderr, /^engine exact, blocked time from switch to switch, [1-9]\d* waits/m)
  const summary = JSON.parse(stdout)
  const schema = JSON.parse(readFileSync(new URL('../docs/summary.schema.json', import.meta.url), 'utf8'))
  t.true(new Ajv2020({ allErrors: true }).compile(schema)(summary))
  t.true(summary.stats.offcpu)
  t.true(summary.functions.some(({ waits }: { waits?: number }) => waits! > 0))
  t.true(summary.stacks.some(({ blockedNs }: { blockedNs?: number }) => blockedNs! > 0))
})

exact('top shows blocked time without being asked for idle threads', async (t) => {
  const target = await start(t, python!, 'naps')
  const args = ['top', '--offcpu', '-n', '2', '-i', '300ms', '--json', String(target.process.pid)]
  const { stdout, stderr, status } = await cli(t, args).done
  t.is(status, 0, stderr)
  const last = JSON.parse(stdout.trim().split('\n').at(-1)!)
  t.is(last.time, 'all')
  t.true(last.sampler.offcpu)
  const nap = last.functions.find(({ name }: { name: string }) => name.endsWith('nap'))
  t.true(nap.overall.selfNs > 200e6, JSON.stringify(nap))
})

exact('more switches than there is time for are lost, counted and named', async (t) => {
  const target = await start(t, python!, 'storm')
  const rounds = () => target.stdout.split('round').length - 1
  const pass = (count: number) => target.says(`round ${rounds() + count}\n`)
  const pid = String(target.process.pid)
  const recorder = cli(t, ['record', '--offcpu', '-nk', '-r', '50', '--json-summary', pid])
  const measures = () => {
    const fds = `/proc/${recorder.process.pid}/fd`
    return readdirSync(fds).some((fd) => linkOf(`${fds}/${fd}`).includes('[perf_event]'))
  }
  while (!measures()) await pass(1)
  for (let i = 0; i < 3; i++) {
    await pass(1)
    // It gets no CPU while thousands of stacks come.
    recorder.process.kill('SIGSTOP')
    await pass(2)
    recorder.process.kill('SIGCONT')
  }
  await pass(2)
  recorder.process.kill('SIGINT')
  const { stdout, stderr, status } = await recorder.done
  t.is(status, 0, stderr)
  t.regex(stderr, /^engine exact, blocked time from switch to switch, [\d,]+ waits, lost interrupts [1-9]/m)
  const { stats, functions } = JSON.parse(stdout)
  t.true(stats.lostInterrupts > 1000, JSON.stringify(stats))
  // What was not lost is right: there are no more waits than there were, and they took no longer.
  const nap = functions.find(({ name }: { name: string }) => name.endsWith('nap'))
  t.true(nap.waits >= 1000 && nap.waits <= rounds() * 1000, JSON.stringify(nap))
  t.true(nap.blockedNs <= stats.elapsedNs, JSON.stringify(nap))
})

exact('without it nothing is measured', async (t) => {
  const target = await start(t, python!, 'naps')
  const profile = await record({ pid: target.process.pid!, duration: 300, engine: 'exact', idle: true })
  t.false(profile.stats.offcpu)
  t.is(profile.stats.waits, 0)
  t.is(profile.hottest(1)[0]?.waits, undefined)
  t.is(decodeProfile(gunzipSync(profile.to('pprof'))).sampleTypes.length, 3)
})

test('what does not go together is refused', async (t) => {
  const refused = (options: Parameters<typeof attach>[1]) =>
    t.throwsAsync(attach(process.pid, options), { instanceOf: PyprofError })
  t.regex((await refused({ offcpu: true, engine: 'snapshot' }))!.message, /engine exact/)
  t.regex((await refused({ offcpu: true, mode: 'cpu' }))!.message, /wall or gil/)
  const { status, stderr } = await cli(t, ['record', '--offcpu', '--mode', 'cpu', '1']).done
  t.is(status, 2, stderr)
})
