import { snapshot } from '../../snapshot.js'
import { snapshotTree } from '../../tree.js'
import type {
  FrameSnapshot,
  NativeLook,
  ProcessSnapshot,
  Snapshot,
  ThreadSnapshot,
  TreeSnapshot,
} from '../../types.js'
import { UsageError } from '../exit.js'
import { parse, pidOf } from '../options.js'
import { plain } from '../terminal/plain.js'

export async function run(args: string[]): Promise<number> {
  const parsed = parse('dump', args)
  const pid = pidOf('dump', parsed)
  if (pid === undefined || parsed.program) throw new UsageError('dump needs a pid', 'dump')
  const { json, subprocesses } = parsed.values
  const { locals, native, kernel } = parsed.values
  const options = { locals: locals === true, native: native === true, kernel: kernel === true }
  if (subprocesses) {
    const tree = await snapshotTree(pid, options)
    process.stdout.write(json ? print(tree) : tree.processes.map(renderProcess).join('\n'))
  } else {
    const found = await snapshot(pid, options)
    process.stdout.write(json ? print(found) : render(found))
  }
  return 0
}

function print(found: Snapshot | TreeSnapshot): string {
  return `${JSON.stringify(found, null, 2)}\n`
}

/** Like a Python traceback: most recent call last. */
export function render(snapshot: Snapshot): string {
  return head(snapshot) + renderSnapshot(snapshot)
}

/** One process of a tree. */
export function renderProcess(process: ProcessSnapshot): string {
  const { snapshot, obstacle } = process
  const what = snapshot ? renderSnapshot(snapshot) : `  ${plain(obstacle!.message)}\n`
  return head(process) + what
}

function head({ pid, ppid, command }: { pid: number; ppid?: number | null; command: string[] }): string {
  return `Process ${pid}${ppid ? ` (child of ${ppid})` : ''}: ${plain(command.join(' '))}\n`
}

function renderSnapshot({ pythonVersion, executable, threads }: Snapshot): string {
  const about = `CPython ${pythonVersion} (${plain(executable)})\n`
  return about + threads.map((thread) => `\n${renderThread(thread)}`).join('')
}

function renderThread(thread: ThreadSnapshot): string {
  const facts = [
    ...(thread.native?.python === false ? ['no Python'] : [`python id 0x${thread.pythonId.toString(16)}`]),
    `native id ${thread.nativeId ?? 'unknown'}`,
    thread.onCpu ? 'on CPU' : 'waiting',
  ]
  if (thread.main) facts.unshift('main')
  if (thread.holdsGil) facts.push('holds the GIL')
  if (thread.interpreter !== 0) facts.push(`interpreter ${thread.interpreter}`)
  const head = `Thread "${plain(thread.name)}" (${facts.join(', ')})\n`
  const frames = thread.frames.length === 0 ? '  [no Python frames]\n' : renderFrames(thread.frames)
  return head + frames + renderNative(thread.native)
}

/** What the thread waits in, and what could not be shown. */
function renderNative(native: NativeLook | undefined): string {
  if (!native) return ''
  const { complete, note, waitsIn } = native
  const call = waitsIn?.call ? `  waits in ${waitsIn.call}(${waitsIn.arguments.map(plain).join(', ')})\n` : ''
  return call + (note ? `  [${complete ? '' : 'no native frames: '}${note}]\n` : '')
}

/** Deep recursion repeats a frame thousands of times; as in a traceback, three are shown and the rest counted. */
function renderFrames(frames: FrameSnapshot[]): string {
  let out = ''
  let last = ''
  let repeats = 0
  const flush = () => {
    if (repeats > 3)
      out += `  [Previous frame repeated ${repeats - 3} more ${repeats === 4 ? 'time' : 'times'}]\n`
  }
  for (const frame of frames) {
    const text = renderFrame(frame)
    if (text === last) {
      repeats++
      if (repeats > 3) continue
    } else {
      flush()
      last = text
      repeats = 1
    }
    out += text
  }
  flush()
  return out
}

function renderFrame(frame: FrameSnapshot): string {
  if (frame.kind === 'missing') {
    return '  [missing: stack cut] frames below here changed while they were read\n'
  }
  if (frame.kind === 'native' || frame.kind === 'kernel') return renderNativeFrame(frame)
  const where = frame.line === null ? '' : `, line ${frame.line}`
  const name = `${frame.async ? 'async ' : ''}${plain(frame.qualifiedName)}`
  const locals = (frame.locals ?? []).map(
    (local) => `      ${local.argument ? 'argument ' : ''}${plain(local.name)} = ${plain(local.value)}\n`,
  )
  return `  File "${plain(frame.file)}"${where}, in ${name}\n${locals.join('')}`
}

function renderNativeFrame({ kind, name, file, line, module }: FrameSnapshot): string {
  const source = file ? `, ${file}${line === null ? '' : `:${line}`}` : ''
  const where =
    kind === 'kernel' && module === 'kernel' ? '' : ` (${plain(`${module?.split('/').at(-1)}${source}`)})`
  return `  ${kind} ${plain(name)}${where}\n`
}
