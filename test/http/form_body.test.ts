/** The body of a form, as slowly as its sender likes. */
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { createLane } from '#src/foundation/lane.ts';
import { readFormBody } from '#src/http/pages/kit/form_body.ts';

describe('a form that is sent byte by byte', () => {
  it('stands in nobody’s way, and is read when it is there', async () => {
    const lane = createLane({ places: 1, longestWaitMilliseconds: 600_000 });
    const request = new IncomingMessage(new Socket());
    request.headers['content-type'] = 'application/x-www-form-urlencoded';
    const slow = lane.run(() => readFormBody(request, 1_000));
    request.push('code=12');
    expect(await lane.run(async () => 'a page')).toBe('a page');
    request.push('3456');
    request.push(null);
    expect(await slow).toEqual({ code: '123456' });
  });
});
