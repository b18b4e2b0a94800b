// Reads unknown values into types: each reader returns the value or throws an Error that names the
// place.

export type Reader<T> = (value: unknown, where: string) => T;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const text: Reader<string> = (value, where) => {
  if (typeof value !== 'string') throw new Error(`${where} is no text`);
  return value;
};

export const number: Reader<number> = (value, where) => {
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new Error(`${where} is no number`);
  return value;
};

export const truth: Reader<boolean> = (value, where) => {
  if (typeof value !== 'boolean') throw new Error(`${where} is neither true nor false`);
  return value;
};

export const nullable =
  <T>(reader: Reader<T>): Reader<T | null> =>
  (value, where) =>
    value === null ? null : reader(value, where);

export const optional =
  <T>(reader: Reader<T>, absent: T): Reader<T> =>
  (value, where) =>
    value === undefined ? absent : reader(value, where);

export const list =
  <T>(reader: Reader<T>): Reader<T[]> =>
  (value, where) => {
    if (!Array.isArray(value)) throw new Error(`${where} is no list`);
    return value.map((item, i) => reader(item, `${where}[${i}]`));
  };

/** Only the named fields are taken over. */
export const readFields =
  <T extends object>(fields: { [K in keyof T]: Reader<T[K]> }): Reader<T> =>
  (value, where) => {
    if (!isRecord(value)) throw new Error(`${where} is no object`);
    const out: Partial<T> = {};
    for (const key of Object.keys(fields) as (keyof T & string)[])
      out[key] = fields[key](value[key], `${where}.${key}`);
    return out as T;
  };
