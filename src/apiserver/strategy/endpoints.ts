import { isAddr, parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { asArray, asString, at } from '../object.ts';
import type { Json } from '../object.ts';
import type { Hooks } from '../registry/resource.ts';
import { invalid, required } from '../status.ts';
import type { FieldError } from '../status.ts';

/**
 * Addresses that mean this host, this link or everybody: nobody can be reached there who is meant, and as a backend such an address
 * would lead whoever uses the service to the node itself, past what guards it (upstream's ValidateNonSpecialIP).
 */
const special = [
  ['unspecified (0.0.0.0)', '0.0.0.0/32'], ['unspecified (::)', '::/128'], ['in the loopback range (127.0.0.0/8)', '127.0.0.0/8'], ['in the loopback range (::1/128)', '::1/128'],
  ['in the link-local range (169.254.0.0/16)', '169.254.0.0/16'], ['in the link-local range (fe80::/10)', 'fe80::/10'],
  ['in the link-local multicast range (224.0.0.0/24)', '224.0.0.0/24'], ['in the link-local multicast range (ff02::/16)', 'ff02::/16'],
].map(([what, text]) => ({ what: what!, prefix: parsePrefix(text!) }));

export function specialAddressErrors(text: string, path: string): FieldError[] {
  const addr = parseAddr(text);
  const kind = special.find(({ prefix }) => prefixHas(prefix, addr));
  return kind ? [invalid(path, text, `may not be ${kind.what}`)] : [];
}

export const endpointSliceHooks: Hooks = {
  validate(object, old) {
    const family = asString(object['addressType']);
    const errors: FieldError[] = [];
    if (old && family !== old['addressType']) errors.push(invalid('addressType', family, 'field is immutable; make another slice'));
    if (asArray(object['endpoints']).length > 1000) errors.push({ field: 'endpoints', reason: 'FieldValueInvalid', message: `Too many: ${asArray(object['endpoints']).length}: must have at most 1000 items` });
    asArray(object['endpoints']).forEach((endpoint, i) => {
      const addresses = asArray(at(endpoint, 'addresses'));
      if (addresses.length === 0) errors.push(required(`endpoints[${i}].addresses`, 'must contain at least 1 address'));
      if (family !== 'FQDN') addresses.forEach((address, j) => errors.push(...endpointErrors(String(address), `endpoints[${i}].addresses[${j}]`, family)));
    });
    return errors;
  },
};

export const endpointsHooks: Hooks = {
  validate(object) {
    return asArray(object['subsets']).flatMap((subset, i) => ['addresses', 'notReadyAddresses'].flatMap(field => asArray(at(subset, field)).flatMap((address: Json, j) =>
      endpointErrors(asString(at(address, 'ip')) ?? '', `subsets[${i}].${field}[${j}].ip`))));
  },
  generationFields: [],
};

function endpointErrors(text: string, path: string, family?: string): FieldError[] {
  if (!isAddr(text) || (family !== undefined && text.includes(':') !== (family === 'IPv6'))) return [invalid(path, text, family === undefined ? 'must be a valid IP address' : `must be an ${family} address`)];
  return specialAddressErrors(text, path);
}
