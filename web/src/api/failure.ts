// What can go wrong between page and server, each as one sentence for the reader.
import { isRecord } from '../model/reader';
import type { Failure, FailureKind } from '../model/types';

export class ApiFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
  ) {
    super(message);
  }
}

const TOO_LONG =
  /prompt has \d+ tokens|context_length_exceeded|maximum context length|(context|cache) holds/iu;

/** The server's own words, as a sentence. */
function sentence(message: string): string {
  const trimmed = message.trim().replace(/[.\s]+$/u, '');
  return `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}.`;
}

function tooLong(message: string): string {
  const counts = /prompt has (\d+) tokens, the \w+ holds (\d+)/u.exec(message);
  if (!counts) return `The conversation has become too long. ${sentence(message)}`;
  const [has, keeps] = counts.slice(1).map((n) => Number(n).toLocaleString('en'));
  return `The conversation has become too long: it has ${has} tokens, the model keeps ${keeps}.`;
}

function errorOf(body: string): { message: string; code: string } {
  try {
    const json: unknown = JSON.parse(body);
    const error = isRecord(json) && isRecord(json['error']) ? json['error'] : {};
    return { message: String(error['message'] ?? ''), code: String(error['code'] ?? '') };
  } catch {
    return { message: '', code: '' }; // a proxy's page of HTML, for example
  }
}

export async function failureOf(response: Response): Promise<ApiFailure> {
  const { message, code } = errorOf(await response.text().catch(() => ''));
  const status = response.status;
  if (status === 401) return new ApiFailure('key', 'The server asks for an API key.');
  if (status === 400 && TOO_LONG.test(`${message} ${code}`))
    return new ApiFailure('too_long', tooLong(message));
  if (status === 429) {
    const seconds = Number(response.headers.get('retry-after'));
    const when = seconds > 0 ? ` Try again in ${seconds} s.` : ' Try again in a moment.';
    return new ApiFailure('busy', `The server is busy with other answers.${when}`);
  }
  if (status === 503) return new ApiFailure('stopping', 'The server is starting or stopping.');
  const said = message ? sentence(message) : `It sent no reason (status ${status}).`;
  return status >= 500
    ? new ApiFailure('server', `The server failed: ${said}`)
    : new ApiFailure('refused', `The server refused the request: ${said}`);
}

export function streamFailure(error: unknown): ApiFailure {
  const message = isRecord(error) && typeof error['message'] === 'string' ? error['message'] : '';
  return new ApiFailure(
    'server',
    `The server broke the answer off: ${message ? sentence(message) : 'it sent no reason.'}`,
  );
}

export function asFailure(error: unknown): Failure {
  if (error instanceof ApiFailure) return { kind: error.kind, message: error.message };
  return { kind: 'server', message: `Something failed in this page: ${String(error)}` };
}
