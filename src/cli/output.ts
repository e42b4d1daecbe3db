/**
 * Where the result goes. A file appears whole or not at all: it is written beside its place under another name
 * and renamed. That name is made before the recording starts, so that an unwritable place is known then.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PyprofError } from '../errors.js'

export interface Output {
  /** For messages. */
  readonly name: string
  write(content: string | Uint8Array): Promise<void>
  /** Leaves nothing behind. */
  discard(): Promise<void>
}

/** @throws {PyprofError} `ERR_PYPROF_OUTPUT` when it is known already that the result cannot be written */
export async function openOutput(path: string): Promise<Output> {
  if (path === '-') return new StandardOutput()
  try {
    const place = await resolve(path)
    const existing = await stat(place).catch(ignoreMissing)
    if (existing?.isDirectory()) throw new Error('it is a folder')
    if (existing) await access(place, constants.W_OK)
    // A device or a pipe cannot be replaced, only written to.
    if (existing && !existing.isFile()) return new Special(path, place)
    return await WholeFile.create(path, place)
  } catch (error) {
    throw cannotWrite(path, error)
  }
}

/** A link stays: what it points to is replaced. */
async function resolve(path: string): Promise<string> {
  const found = await realpath(path).catch(ignoreMissing)
  return found ?? join(await realpath(dirname(path)), basename(path))
}

class WholeFile implements Output {
  readonly name: string
  readonly #place: string
  readonly #temporary: string
  readonly #file: FileHandle

  private constructor(name: string, place: string, temporary: string, file: FileHandle) {
    this.name = name
    this.#place = place
    this.#temporary = temporary
    this.#file = file
  }

  static async create(name: string, place: string): Promise<WholeFile> {
    if (Buffer.byteLength(basename(place)) > 255) throw new Error('its name is too long')
    const temporary = join(dirname(place), `.pyprof-${process.pid}-${randomBytes(4).toString('hex')}.tmp`)
    return new WholeFile(name, place, temporary, await open(temporary, 'wx', 0o666))
  }

  async write(content: string | Uint8Array): Promise<void> {
    try {
      await this.#file.writeFile(content)
      await this.#file.sync()
      await this.#file.close()
      await rename(this.#temporary, this.#place)
    } catch (error) {
      await this.discard()
      throw cannotWrite(this.name, error)
    }
    await syncFolder(dirname(this.#place))
  }

  async discard(): Promise<void> {
    await this.#file.close().catch(() => {})
    await unlink(this.#temporary).catch(() => {})
  }
}

class Special implements Output {
  readonly name: string
  readonly #place: string

  constructor(name: string, place: string) {
    this.name = name
    this.#place = place
  }

  async write(content: string | Uint8Array): Promise<void> {
    try {
      const file = await open(this.#place, 'w')
      await file.writeFile(content).finally(() => file.close())
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw cannotWrite(this.name, error)
    }
  }

  async discard(): Promise<void> {}
}

class StandardOutput implements Output {
  readonly name = 'standard output'

  async write(content: string | Uint8Array): Promise<void> {
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((done) => {
      process.stdout.write(content, done)
    })
    // A reader that has seen enough is no error.
    if (error && error.code !== 'EPIPE') throw cannotWrite(this.name, error)
  }

  async discard(): Promise<void> {}
}

/** The new name survives a power cut only when the folder is on disk too; some file systems cannot do it. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path)
    await folder.sync().finally(() => folder.close())
  } catch {
    // The file itself is complete.
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

const REASONS: Record<string, string> = {
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'its folder is not a folder',
  EACCES: 'you may not write there; choose another place with -o',
  EPERM: 'you may not write there; choose another place with -o',
  EROFS: 'the file system is read-only; choose another place with -o',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  ENAMETOOLONG: 'its name is too long',
}

function cannotWrite(name: string, cause: unknown): PyprofError {
  const { code, message } = cause as NodeJS.ErrnoException
  const reason = (code && REASONS[code]) ?? message
  return new PyprofError('ERR_PYPROF_OUTPUT', `cannot write ${name}: ${reason}`, cause)
}
