import { isAddr } from '../../std/ip.ts';

const dateTime = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const quantity = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;
const uuid = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** Why a string is not of the format, or undefined. Formats that nobody here knows are not checked, as upstream does. */
export function formatProblem(format: string, value: string): string | undefined {
  switch (format) {
    case 'date-time':
      return dateTime.test(value) && !Number.isNaN(Date.parse(value)) ? undefined : 'must be a time like 2006-01-02T15:04:05Z (RFC 3339)';
    case 'byte':
      return base64.test(value.replace(/[\r\n]/g, '')) ? undefined : 'must be base64; use stringData for text';
    case 'quantity':
      return quantity.test(value) ? undefined : "quantities must match a number with an optional suffix, like 100m, 1.5, 2Gi or 1e3";
    case 'uuid':
      return uuid.test(value) ? undefined : 'must be a UUID';
    case 'ipv4':
      return isAddr(value) && !value.includes(':') ? undefined : 'must be an IPv4 address';
    case 'ipv6':
      return isAddr(value) && value.includes(':') ? undefined : 'must be an IPv6 address';
    case 'ip':
      return isAddr(value) ? undefined : 'must be an IP address';
    case 'cidr':
      return cidrProblem(value);
    default:
      return undefined;
  }
}

/** Why a text is not a prefix like 10.0.0.0/8 or fd00::/64, or undefined. */
export function cidrProblem(value: string): string | undefined {
  const [address = '', length = '', more] = value.split('/');
  const most = address.includes(':') ? 128 : 32;
  const fits = more === undefined && isAddr(address) && /^\d{1,3}$/.test(length) && Number(length) <= most;
  return fits ? undefined : 'must be a CIDR like 10.0.0.0/8 or fd00::/64';
}
