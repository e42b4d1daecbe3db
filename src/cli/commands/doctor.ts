import { type Diagnosis, doctor, type EngineCheck, type Remedy, type TargetCheck } from '../../doctor.js'
import { PyprofError } from '../../errors.js'
import { statusOf, UsageError } from '../exit.js'
import { parse, pidOf } from '../options.js'
import { plain } from '../terminal/plain.js'

export async function run(args: string[]): Promise<number> {
  const parsed = parse('doctor', args)
  const pid = pidOf('doctor', parsed)
  if (parsed.program) throw new UsageError('doctor starts no program', 'doctor')
  const found = await doctor(pid)
  process.stdout.write(parsed.values['json'] ? `${JSON.stringify(found, null, 2)}\n` : render(found))
  return status(found)
}

/** What `record` would end with: 0 when it would work. */
function status({ engine, target }: Diagnosis): number {
  if (target?.obstacle) return statusOf(new PyprofError(target.obstacle.code, target.obstacle.message))
  return engine === null ? statusOf(new PyprofError('ERR_PYPROF_PERMISSION', 'no engine works')) : 0
}

export function render({ engine, engines, checks, target }: Diagnosis): string {
  const lines = target ? [...aboutTarget(target, engines), ''] : []
  lines.push(
    engine === null ? 'Nothing can be profiled here.' : `The best engine here is ${engine}.`,
    '',
    'Engines',
  )
  // All ways to the best of those that are missing; of the others the one at hand.
  const wanted = engines.find(({ available }) => !available)
  for (const one of engines) {
    lines.push(row(one.engine, one.available ? `yes: ${one.gives}` : `no: ${one.missing.join(', and ')}`))
    if (!one.available && one !== wanted) lines.push(...ways(one.remedies.slice(0, 1)))
    if (one === wanted) lines.push(...(one.remedies.length > 0 ? ways(one.remedies) : []))
  }
  lines.push('', 'What this process may do, and what the kernel offers')
  for (const { id, value, good, remedies } of checks) {
    const mark = good === null ? '' : good ? 'ok' : 'no'
    lines.push(`  ${mark.padEnd(4)}${(TITLES[id] ?? id).padEnd(WIDTH - 2)}${plain(value)}`)
    // The engines' own are above.
    if (good === false && !OF_ENGINES.has(id)) lines.push(...ways(remedies.slice(0, 1)))
  }
  return lines.map((line) => `${line}\n`).join('')
}

function aboutTarget(target: TargetCheck, engines: EngineCheck[]): string[] {
  const lines = [
    `Process ${target.pid}: ${plain(target.command.join(' ') || (target.executable ?? 'unknown'))}`,
  ]
  const gives = engines.find(({ engine }) => engine === target.engine)?.gives
  if (target.engine !== null) lines.push(row('profile', `yes, with the ${target.engine} engine: ${gives}`))
  if (target.obstacle) lines.push(row('profile', `no: ${plain(target.obstacle.message)}`))
  lines.push(...ways(target.remedies))
  const { python } = target
  if (python) {
    const kind = python.freeThreaded ? ', without GIL' : ''
    const threads = `${python.threads} ${python.threads === 1 ? 'thread' : 'threads'}`
    lines.push(
      row('Python', `CPython ${python.version}${kind}, ${threads}`),
      row('found in', `${plain(python.file)} (by ${python.foundBy})`),
    )
  }
  if (target.user !== null) lines.push(row('user', plain(target.user)))
  if (target.executable !== null) {
    const { native, kernel } = target.blockedThreads
    const shown = [native ? 'native' : '', kernel ? 'kernel' : ''].filter(Boolean).join(' and ')
    lines.push(row('blocked threads', shown ? `${shown} frames can be read` : 'Python frames only'))
  }
  for (const { text } of target.notes) lines.push(row('note', plain(text)))
  return lines
}

const WIDTH = 28

function row(title: string, text: string): string {
  return `  ${title.padEnd(WIDTH - 2)}${plain(text)}`
}

function ways(remedies: Remedy[]): string[] {
  return remedies.map(({ means, text }) => `    ${LABELS[means].padEnd(WIDTH - 4)}${plain(text)}`)
}

const LABELS: Record<Remedy['means'], string> = {
  sudo: '> shell',
  user: '> run as',
  launch: '> start it yourself',
  sysctl: '> shell, for all users',
  setcap: '> shell, for this node',
  docker: '> docker or podman run',
  kubernetes: '> Kubernetes container',
  systemd: '> systemd [Service]',
  other: '>',
}

const OF_ENGINES = new Set(['process_vm_readv', 'perf', 'perf-user', 'bpf', 'bpf-program'])

const TITLES: Record<string, string> = {
  user: 'user',
  capabilities: 'capabilities',
  'no-new-privileges': 'no new privileges',
  seccomp: 'seccomp',
  'security-module': 'security module',
  container: 'container',
  'user-namespace': 'user namespace',
  'pid-namespace': 'pid namespace',
  'mount-namespace': 'mount namespace',
  yama: 'yama.ptrace_scope',
  process_vm_readv: 'reading memory',
  kernel: 'kernel',
  'perf-event-paranoid': 'perf_event_paranoid',
  perf: 'perf events, all code',
  'perf-user': 'perf events, user code',
  'unprivileged-bpf-disabled': 'unprivileged_bpf_disabled',
  bpf: 'loading BPF programs',
  'bpf-program': 'BPF program',
  btf: 'kernel types (BTF)',
  'kernel-names': 'kernel function names',
  'kernel-stacks': '/proc/PID/stack',
  'system-calls': '/proc/PID/syscall',
  'locked-memory': 'locked memory',
}
