import assert from 'node:assert/strict';
import { test } from 'node:test';
import { httpFaultText } from '../../model/l7-kernel.ts';
import { fault, faultText } from './faults.ts';

test('the kernel\'s flows say what is wrong with a request in the proxy\'s words', () => {
  const numbers = Object.values(fault);
  assert.ok(numbers.length > 20);
  for (const number of numbers) assert.equal(httpFaultText(-number), faultText(number));
});
