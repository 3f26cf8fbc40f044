#!lua name=tokenway_ledger_v1
-- The ledger. Amounts are integers of nano-dollars. Each function reads and checks everything first, then writes: XADD first,
-- because it is the only write that can fail, then absolute values of computed sums. `pairs` does not exist at load time.
-- Over 300 lines because it is one library: its functions share the arithmetic and must change together.
--
-- account   bal hold seq used rate      key  org v st(1|0|D) lim per(n|d|w|m) exp name label cat rpm tpm con | hold day ud uw um ua last
--           ab(andoned answers, paid nevertheless) abn (nano-dollars of them)
-- hold      a(mount) x(expiry ms) o(rg) k(ey) l(imited) | checkpoint: p(rovider) c(ost) f(ee) w(ant)
-- rate      requests a minute:tokens a minute:requests at once, 0 for none; how much of it is used: meter, and the set c:o: or c:k:
-- done      id -> type:paid:cost:fee:balance:seq
-- journal   t(ype) q(sequence) k(ey) h(id) p(rovider) c(ost) f(ee) u(ser pays) l(oss of the operator) b(alance after)
-- closing   seq cur(sor) dig(est) bal used gr(anted) cost fee loss held at, p:<provider> its cost: the sums of all lines up to `seq`,
--           which are in the archive; a key's `cua` is what it has used in them
-- types     S settled  V voided (no line)  X expired  A adjusted after expiry  L loss of a failed attempt  G grant
local MAXV = 9007199254740991        -- 2^53-1 nano-dollars, $9,007,199.25: the last integer a double counts exactly
local LINE_MAX = 1000000000000000    -- 10^15, $1,000,000: the most one line carries; keeps every sum of two exact
local WINDOW_S = 7200                -- how long an id is remembered after the hour it was made in
local AHEAD_S = 3600                 -- an id from further in the future is a broken clock
local DAY_MS = 86400000
local MINUTE_MS = 60000
local TOKENS_MAX = 10000000000       -- 10^10 tokens: 60,000 units of each are exact in a double
local CHECKED_AT_ONCE = 100          -- members of a set of running requests that one call looks after at most
local LOOK_BACK, PAGE = 1000, 250    -- an id that was forgotten is looked for in so many of the organisation's last lines

local call, format, find, match, sub, floor, max, min, whole
local function bind() -- at the first call: nothing of the server or of Lua's libraries exists while a library loads
  format, find, match, sub = string.format, string.find, string.match, string.sub
  floor, max, min = math.floor, math.max, math.min
  -- '%d' takes half the time of '%.0f', but is exact only where C's long has 64 bits
  whole = format('%d', MAXV) == '9007199254740991' and format('%d', -MAXV) == '-9007199254740991' and '%d' or '%.0f'
  call = redis.call
end

local function s(x) if x == 0 then return '0' end return format(whole, x) end -- never '..' a number; never '-0'
local function up(x) if x <= 0 then return '0' end return format(whole, x) end -- of a sum that is never less than nothing
local function n(x) return x and x + 0 or 0 end -- of what is stored; junk is an error, so before the first write
local function int(x, low, high) -- only as `s` would write it: no '1e3', '0x10', ' 5', '05', 'nan', '-0'
  if x ~= '0' and not (x and find(x, '^%-?[1-9]%d*$')) then return nil end
  local v = x + 0
  if v >= low and v <= high then return v end
  return nil
end
local function add(text, x) -- exact beyond 2^53: lifetime totals are decimal text
  text = text or '0'
  local low, high = n(sub(text, -15)) + x, #text > 15 and n(sub(text, 1, -16)) or 0
  if low < 0 then low, high = low + 1e15, high - 1 elseif low >= 1e15 then low, high = low - 1e15, high + 1 end
  if high == 0 then return s(low) end
  return s(high) .. format('%015.0f', low)
end
local function now() local t = call('TIME'); return t[1] * 1000 + floor(t[2] / 1000) end
local function born_s(id) local t = match(id or '', '^gen%-(%d%d%d%d%d%d%d%d%d%d)%-%w+$'); return t and t + 0 end
local function forgotten(born, ms) return born < ms / 1000 - WINDOW_S or born > ms / 1000 + AHEAD_S end

-- Windows in UTC: days since 1970, weeks that begin on Monday, calendar months.
local function week(day) return floor((day + 3) / 7) end
local function month(day)
  local z = day + 719468
  local era = floor(z / 146097)
  local e = z - era * 146097
  local y = floor((e - floor(e / 1460) + floor(e / 36524) - floor(e / 146096)) / 365)
  local q = e - (365 * y + floor(y / 4) - floor(y / 100))
  local mp = floor((5 * q + 2) / 153)
  local m = mp < 10 and mp + 3 or mp - 9
  return (y + era * 400 + (m <= 2 and 1 or 0)) * 12 + m
end
-- Usage of the running day, week and month. The stored day only moves forward: a clock set back reopens nothing.
local function windows(was, ud, uw, um, ms)
  local today = floor(ms / DAY_MS)
  was = n(was)
  if today <= was then return was, n(ud), n(uw), n(um) end
  return today, 0, week(today) > week(was) and 0 or n(uw), month(today) > month(was) and 0 or n(um)
end
local function spent(per, ud, uw, um, ua)
  if per == 'd' then return ud elseif per == 'w' then return uw elseif per == 'm' then return um end
  return n(ua)
end
local function split(text)
  if not text then return nil end
  local t, pay, cost, fee, bal, seq = match(text, '^(%a):(%-?%d+):(%-?%d+):(%-?%d+):(%-?%d+):(%d+)$')
  return {t = t, pay = n(pay), cost = n(cost), fee = n(fee), bal = bal, seq = seq}
end
local function behind(name, mark) local at = find(name, mark, 1, true); return at and sub(name, at + 4) end
local function org_of(name) return behind(name, '}:o:') end
local function key_of(name) return behind(name, '}:k:') end

-- Limits of a key and of its organisation. A meter is a leaky bucket in integers: a request, or a token, adds 60,000 units, and a
-- limit of n a minute lets n units leak out in each millisecond; the bucket is full at a minute's worth.
local function rates(text, default)
  local r, t, c = match(text or '', '^(%d+):(%d+):(%d+)$')
  local dr, dt, dc = match(default or '', '^(%d+):(%d+):(%d+)$')
  r, t, c = n(r), n(t), n(c)
  return r > 0 and r or n(dr), t > 0 and t or n(dt), c > 0 and c or n(dc)
end
-- Both levels at `ms`. A server whose clock was set back loses what would have leaked out, and nobody is locked out for it.
local function levels(hash, r, t, ms)
  local requests, tokens, at = match(call('HGET', hash, 'meter') or '', '^(%d+):(%d+):(%d+)$')
  if not at then return 0, 0 end
  local since = max(ms - at, 0)
  return max(min(requests - since * r, 2 * r * MINUTE_MS), 0), max(min(tokens - since * t, 2 * t * MINUTE_MS), 0)
end
-- How many holds of the set run. Those whose time is over are looked at again: one that has gone (its process died, or a
-- version of this library ended it that knows no limits) is counted no more.
local function running(set, holds, most, ms)
  local count = call('ZCARD', set)
  if count < most then return count end
  for _, id in ipairs(call('ZRANGEBYSCORE', set, '-inf', s(ms), 'LIMIT', '0', s(CHECKED_AT_ONCE))) do
    local expiry = call('HGET', holds .. id, 'x')
    if expiry and n(expiry) > ms then
      call('ZADD', set, expiry, id)
    else
      call('ZREM', set, id)
      count = count - 1
    end
  end
  return count
end
-- The refusal that lasts longest, `worst` or that of a bucket with `level` units that should take `more`.
local function longer(worst, scope, name, limit, level, more)
  local over = level + more - limit * MINUTE_MS
  if over <= 0 then return worst end
  local wait = floor((over + limit - 1) / limit)
  if more > limit * MINUTE_MS then wait = 1 / 0 end -- more than a whole minute's: waiting does not help
  if worst and worst.wait >= wait then return worst end
  return {scope = scope, name = name, limit = limit, left = max(floor(limit - level / MINUTE_MS), 0), wait = wait}
end
-- One of 'key' and 'org' with the limits of `text`, else `default`: what admitting the request writes, and the worst refusal.
local function admission(K, scope, text, default, tokens, ms, worst)
  local r, t, c = rates(text, default)
  local hash = scope == 'key' and K[2] or K[1]
  local set = match(hash, '^(.*}:)') .. 'c:' .. (scope == 'key' and 'k:' .. key_of(hash) or 'o:' .. org_of(hash))
  local a = {hash = hash, set = c > 0 and set, metered = r > 0 or t > 0, marks = (t > 0 and sub(scope, 1, 1) or '')}
  if c > 0 then a.marks = a.marks .. (scope == 'key' and 'K' or 'O') end
  if a.metered then
    local requests, used = levels(hash, r, t, ms)
    local more, reserved = r > 0 and MINUTE_MS or 0, t > 0 and tokens * MINUTE_MS or 0
    if r > 0 then worst = longer(worst, scope, 'requests', r, requests, more) end
    if t > 0 then worst = longer(worst, scope, 'tokens', t, used, reserved) end
    a.meter = s(requests + more) .. ':' .. s(used + reserved) .. ':' .. s(ms)
  end
  if c > 0 and running(set, match(hash, '^(.*}:)') .. 'h:', c, ms) >= c then
    worst = worst or {scope = scope, name = 'concurrent', limit = c, left = 0, wait = 1000}
  end
  return a, worst
end
-- Of an admitted request: count it, and return what its hold says of it ('' when its end has nothing to give back).
local function admit(list, id, expiry, tokens, ms)
  local marks = ''
  for _, a in ipairs(list) do
    if a.metered then call('HSET', a.hash, 'meter', a.meter) end
    if a.set then call('ZADD', a.set, expiry, id) end
    marks = marks .. a.marks
  end
  return marks == '' and '' or s(ms) .. ':' .. tokens .. ':' .. marks
end
-- A hold has ended: it runs no more, and `tokens` were used in place of those that it reserved. A reservation that is older
-- than a minute has leaked out by itself and gives nothing back, so that nobody can save up rates. To restate it in the meter is
-- the same as to have reserved `difference` more at the start.
local function correct(hash, difference)
  local requests, tokens, at = match(call('HGET', hash, 'meter') or '', '^(%d+):(%d+):(%d+)$')
  if not at then return end
  call('HSET', hash, 'meter', requests .. ':' .. s(min(max(tokens + difference * MINUTE_MS, 0), MAXV)) .. ':' .. at)
end
local function release(K, id, limited, tokens, ms)
  local since, reserved, marks = match(limited, '^(%d+):(%d+):(%a+)$')
  if not since then return end
  tokens = int(tokens, 0, TOKENS_MAX)
  local difference = tokens and tokens - reserved or 0
  if difference < 0 and ms - since >= MINUTE_MS then difference = 0 end
  local names = match(K[1], '^(.*}:)') .. 'c:'
  if difference ~= 0 and find(marks, 'k', 1, true) then correct(K[2], difference) end
  if difference ~= 0 and find(marks, 'o', 1, true) then correct(K[1], difference) end
  if find(marks, 'K', 1, true) then redis.pcall('ZREM', names .. 'k:' .. key_of(K[2]), id) end
  if find(marks, 'O', 1, true) then redis.pcall('ZREM', names .. 'o:' .. org_of(K[1]), id) end
end

-- KEYS org key hold expiry done
-- ARGV id policy_version amount ttl_ms tokens least share [rate of the key [default of the organisation]]
-- `amount` is what is wished for: held is at most one part in `share` of what is free, but never less than `least`.
-- The key's rate is the caller's to say, because it belongs to the policy, whose version is compared.
local function hold(K, A)
  local id, born, key, amount, ttl = A[1], born_s(A[1]), key_of(K[2]), int(A[3], 0, MAXV), int(A[4], 0, MAXV)
  if not (born and key and amount and ttl) then return {'BADARG'} end
  local least, share = amount, 1
  if A[6] ~= A[3] then
    least, share = int(A[6], 0, amount), int(A[7], 1, MAXV)
    if not (least and share) then return {'BADARG'} end
  end
  local open = call('HGET', K[3], 'a')
  if open then
    if call('HGET', K[3], 'k') ~= key then return {'BADARG'} end
    return {'DUP', open}
  end
  if call('HEXISTS', K[5], id) == 1 then return {'DONE'} end
  local ms = now()
  if forgotten(born, ms) then return {'STALE'} end
  local k = call('HMGET', K[2], 'org', 'v', 'st', 'lim', 'per', 'exp', 'hold', 'day', 'ud', 'uw', 'um', 'ua')
  if not k[1] or k[1] ~= org_of(K[1]) or k[3] == 'D' then return {'NOKEY'} end
  if k[2] ~= A[2] then
    return {'POLICY', unpack(call('HMGET', K[2], 'org', 'v', 'st', 'lim', 'per', 'exp', 'name', 'label', 'cat', 'rpm', 'tpm', 'con'))}
  end
  if k[3] ~= '1' then return {'KEYOFF'} end
  if k[6] and n(k[6]) <= ms then return {'KEYEXP'} end
  local o = call('HMGET', K[1], 'bal', 'hold', 'rate')
  local org_held, key_held = n(o[2]), n(k[7])
  local free = n(o[1]) - org_held
  local room = free
  if k[4] then
    local _, ud, uw, um = windows(k[8], k[9], k[10], k[11], ms)
    local left = k[4] - spent(k[5], ud, uw, um, k[12]) - key_held
    if least > left then return {'KEYLIM', s(max(left, 0))} end
    room = min(room, left)
  end
  if least > free then return {'CREDIT', s(free)} end
  amount = max(least, min(amount, floor(room / share)))
  local expiry, limits, refused = s(ms + ttl), nil, nil
  if o[3] or A[8] then
    local tokens = int(A[5], 0, TOKENS_MAX)
    if not tokens then return {'BADARG'} end
    limits = {}
    limits[1], refused = admission(K, 'org', o[3], A[9], tokens, ms)
    limits[2], refused = admission(K, 'key', A[8], nil, tokens, ms, refused)
    if refused then
      local wait = refused.wait < 1 / 0 and s(refused.wait) or '-1'
      return {'RATE', refused.scope, refused.name, s(refused.limit), s(refused.left), wait}
    end
  end
  call('ZADD', K[4], expiry, id) -- first, so that no hold can exist unswept
  call('HSET', K[3], 'a', s(amount), 'x', expiry, 'o', k[1], 'k', key)
  if limits then
    local limited = admit(limits, id, expiry, A[5], ms)
    if limited ~= '' then call('HSET', K[3], 'l', limited) end
  end
  call('HSET', K[1], 'hold', s(org_held + amount))
  call('HSET', K[2], 'hold', s(key_held + amount), 'last', s(ms))
  return {'OK', s(free - amount), s(amount)}
end

-- Everything that ends a hold has KEYS org key hold expiry done journal record stale.
-- `books` reads the hashes, so that one of the wrong type stops the call before its first write.
local function books(K, born)
  local o = call('HMGET', K[1], 'bal', 'hold', 'seq', 'used')
  local k = call('HMGET', K[2], 'org', 'lim', 'per', 'hold', 'day', 'ud', 'uw', 'um', 'ua')
  local h = call('HMGET', K[3], 'a', 'k', 'l')
  local key = key_of(K[2])
  if k[1] and k[1] ~= org_of(K[1]) then return nil end
  if h[1] and h[2] ~= key then return nil end
  local ms, bal, amount = now(), n(o[1]), n(h[1])
  local org_held, key_held = n(o[2]) - amount, n(k[4]) - amount
  local day, ud, uw, um = windows(k[5], k[6], k[7], k[8], ms)
  local room = bal - org_held
  if k[2] then room = min(room, k[2] - spent(k[3], ud, uw, um, k[9]) - key_held) end
  return {born = born, ms = ms, bal = bal, org_held = org_held, seq = n(o[3]), used = o[4], room = room, open = h[1], limited = h[3],
    key = key, known = k[1], key_held = key_held, day = day ~= n(k[5]) and day, ud = ud, uw = uw, um = um, ua = k[9]}
end
-- What the payer really pays: never another request's hold, never past the key's limit. The rest is the operator's loss.
local function payable(b, want)
  local pay = min(want, max(b.room, 0))
  return max(pay, b.bal - MAXV) -- a refund cannot lift a balance beyond what a double counts
end
-- When the last id of the same hour is forgotten; `remember` gets it from before the first write.
local function memory_end(b) return max((floor(b.born / 3600) + 1) * 3600, floor(b.ms / 1000)) + WINDOW_S + 60 end
local function remember(K, id, text, ends)
  call('HSET', K[5], id, text)
  if call('EXPIRETIME', K[5]) < ends then call('EXPIREAT', K[5], s(ends)) end -- the hour's first id, or a late one
end
local function keep(K, record, ttl, paid)
  if record ~= '' then call('SET', K[7], paid .. ':' .. record, 'EX', ttl) end
end
local function journal(K, key, id, p, u, l, b, q) -- all texts, those of posting `p` included
  call('XADD', K[6], '*', 't', p.t, 'q', q, 'k', key, 'h', id, 'p', p.provider, 'c', p.c, 'f', p.f, 'u', u, 'l', l, 'b', b)
end
-- What the books say of an id without a hold that the dedupe memory does not know: a clock that jumped for hours may have emptied
-- it. Nil, or as `split`: by its record, which is written when a request ends, else by the newest lines since it began.
local function recorded(K, id, born)
  local record, oldest_ms, before, found = call('GET', K[7]), (born - AHEAD_S) * 1000, '+', nil
  if record then return {t = 'S', pay = n(match(record, '^(%-?%d+):')), cost = 0, fee = 0} end
  for _ = 1, LOOK_BACK / PAGE do
    local lines = call('XREVRANGE', K[6], before, '-', 'COUNT', PAGE)
    for _, entry in ipairs(lines) do
      local f = {}
      for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
      if f.h == id then -- its newest line says how it ended
        found = found or {t = f.t, pay = 0, cost = 0, fee = 0}
        found.pay, found.cost, found.fee = found.pay + n(f.u), found.cost + n(f.c), found.fee + n(f.f)
      elseif f.t == 'L' and f.h and match(f.h, '^(.*)/') == id then
        found = found or {t = 'V', pay = 0, cost = 0, fee = 0}
      end
    end
    if #lines < PAGE or n(match(lines[#lines][1], '^%d+')) < oldest_ms then break end
    before = '(' .. lines[#lines][1]
  end
  return found
end
-- One posting of `line` after the failed attempts list[first...]; `was` is what expiry had charged, or nil. `left`: the caller did
-- not wait for the answer. Returns texts: paid in total, balance and sequence number after it. Whatever could fail is computed
-- before the first write.
local function post(K, b, id, line, list, first, was, left)
  local pay, ends = payable(b, line.want), memory_end(b)
  local ab = left and b.known and call('HMGET', K[2], 'ab', 'abn')
  if ab then ab = {s(n(ab[1]) + 1), add(ab[2], pay)} end
  local paid, bal, loss = s(pay), s(b.bal - pay), s(line.cost + line.fee - pay)
  local used, ua, seq = add(b.used, pay), add(b.ua, pay), b.seq
  local total, cost, fee = paid, line.c, line.f
  if was then total, cost, fee = s(was.pay + pay), s(was.cost + line.cost), s(was.fee + line.fee) end
  for i = first, #list do
    local p = list[i]
    seq = seq + 1
    journal(K, b.key, id .. '/' .. s(i - first + 1), p, '0', s(p.cost + p.fee), s(b.bal), s(seq))
  end
  seq = s(line.t == 'V' and seq or seq + 1)
  if line.t ~= 'V' then journal(K, b.key, id, line, paid, loss, bal, seq) end
  remember(K, id, line.t .. ':' .. total .. ':' .. cost .. ':' .. fee .. ':' .. bal .. ':' .. seq, ends)
  call('HSET', K[1], 'bal', bal, 'hold', s(b.org_held), 'seq', seq, 'used', used)
  if b.known then
    if b.day then call('HSET', K[2], 'day', s(b.day)) end
    call('HSET', K[2], 'hold', s(b.key_held), 'ud', up(b.ud + pay), 'uw', up(b.uw + pay), 'um', up(b.um + pay), 'ua', ua)
    if ab then call('HSET', K[2], 'ab', ab[1], 'abn', ab[2]) end
  end
  call('DEL', K[3])
  if b.limited then release(K, id, b.limited, b.tokens, b.ms) end
  redis.pcall('ZREM', K[4], id) -- last and unchecked: a broken sweeper's list must not stop a posting half-way
  return total, bal, seq
end
-- A posting of type `t`: amounts, and the texts of cost and fee.
local function posting(t, provider, cost, fee, want)
  return {t = t, provider = provider, cost = cost, fee = fee, want = want, c = s(cost), f = s(fee)}
end
-- Provider, cost, fee, want: fours from ARGV[first]; nil when one of them is junk.
local function postings(A, first)
  local list = {}
  if (#A - first + 1) % 4 ~= 0 then return nil end
  for i = first, #A, 4 do
    local cost, fee, want = int(A[i + 1], 0, LINE_MAX), int(A[i + 2], 0, LINE_MAX), int(A[i + 3], 0, LINE_MAX)
    if not (cost and fee and want) then return nil end
    list[#list + 1] = {t = 'L', provider = A[i], cost = cost, fee = fee, want = want, c = A[i + 1], f = A[i + 2]}
  end
  return list
end
local function put_aside(K, b, id, A, first)
  call('HSETNX', K[8], id, s(b.ms) .. ' ' .. org_of(K[1]) .. ' ' .. key_of(K[2]) .. ' ' .. table.concat(A, ' ', first))
  return {'STALE'}
end

-- ARGV id record record_ttl_s tokens | provider cost fee want of the answer | the same of each failed attempt | 'abandoned', or nothing
local function settle(K, A)
  local left = A[#A] == 'abandoned' and table.remove(A)
  local id, born, ttl, list = A[1], born_s(A[1]), int(A[3], 1, MAXV), postings(A, 5)
  if not (born and ttl and list and list[1]) then return {'BADARG'} end
  local was = split(call('HGET', K[5], id))
  if was and was.t ~= 'X' then return {'DUP', s(was.pay), was.bal, was.seq} end
  local b = books(K, born)
  if not b then return {'BADARG'} end
  b.tokens = A[4]
  if not was and not b.open then
    was = recorded(K, id, born)
    if was and was.t ~= 'X' then return {'DUP', s(was.pay), s(b.bal), s(b.seq)} end
    if not was and forgotten(born, b.ms) then return put_aside(K, b, id, A, 5) end
  end
  local line, tag = list[1], b.open and 'OK' or 'NOHOLD'
  line.t = 'S'
  if was then -- the sweeper charged the last checkpoint; post the difference, once
    line = posting('A', line.provider, line.cost - was.cost, line.fee - was.fee, line.want - was.pay)
    tag = 'LATE'
  end
  local paid, bal, seq = post(K, b, id, line, list, 2, was, left)
  keep(K, A[2], A[3], paid)
  return {tag, paid, bal, seq}
end

-- ARGV id record record_ttl_s | provider cost fee want of each failed attempt. Also ends a hold that was never made.
local function void(K, A)
  local id, born, ttl, list = A[1], born_s(A[1]), int(A[3], 1, MAXV), postings(A, 4)
  if not (born and ttl and list) then return {'BADARG'} end
  local was = split(call('HGET', K[5], id))
  if was and was.t ~= 'X' then return {'DUP', s(was.pay), was.bal, was.seq} end
  local b = books(K, born)
  if not b then return {'BADARG'} end
  b.tokens = '0'
  local bal, seq = s(b.bal), s(b.seq)
  if not was and not b.open then
    local old = forgotten(born, b.ms)
    was = (old or #list > 0) and recorded(K, id, born) or nil
    if was and was.t ~= 'X' then return {'DUP', s(was.pay), bal, seq} end
    if not was and old and #list > 0 then return put_aside(K, b, id, A, 4) end
    if not was and old then return {'OK', '0', bal, seq} end
  end
  local line, _ = posting('V', 'none', 0, 0, 0)
  if was and (was.pay > 0 or was.cost > 0 or was.fee > 0) then -- nothing was delivered after all: give the checkpoint back
    line = posting('A', 'none', -was.cost, -was.fee, -was.pay)
  end
  if b.open or #list > 0 or line.t == 'A' then
    _, bal, seq = post(K, b, id, line, list, 1, was)
  else
    remember(K, id, 'V:0:0:0:' .. bal .. ':' .. seq, memory_end(b))
  end
  keep(K, A[2], A[3], '0')
  return {'OK', '0', bal, seq}
end

-- ARGV id. For the sweeper: the server's clock decides; two sweepers do it once.
local function expire(K, A)
  local b = books(K, born_s(A[1]))
  if not b then return {'BADARG'} end
  if not b.open then
    call('ZREM', K[4], A[1])
    return {'GONE'}
  end
  local h = call('HMGET', K[3], 'x', 'p', 'c', 'f', 'w')
  if n(h[1]) > b.ms then return {'LIVE'} end
  local line = posting('X', h[2] or 'none', n(h[3]), n(h[4]), n(h[5]))
  local paid, bal, seq = post(K, b, A[1], line, {}, 1)
  return {'OK', paid, bal, seq}
end

-- KEYS hold expiry | ARGV id ttl_ms provider cost fee want: a running stream says what it has delivered so far
local function beat(K, A)
  local ttl, p = int(A[2], 0, MAXV), postings(A, 3)
  if not (ttl and p and #p == 1) then return {'BADARG'} end
  if call('EXISTS', K[1]) == 0 then return {'GONE'} end
  local expiry = s(now() + ttl)
  call('ZADD', K[2], expiry, A[1])
  call('HSET', K[1], 'x', expiry, 'p', p[1].provider, 'c', p[1].c, 'f', p[1].f, 'w', s(p[1].want))
  return {'OK'}
end

-- KEYS org key hold | ARGV total: grow a running hold to this amount; saying it twice is saying it once
local function extend(K, A)
  local total = int(A[1], 0, MAXV)
  if not total then return {'BADARG'} end
  local h = call('HMGET', K[3], 'a', 'k')
  if not h[1] then return {'GONE'} end
  local k = call('HMGET', K[2], 'org', 'lim', 'per', 'hold', 'day', 'ud', 'uw', 'um', 'ua')
  if h[2] ~= key_of(K[2]) or k[1] ~= org_of(K[1]) then return {'BADARG'} end
  local more = total - n(h[1])
  if more <= 0 then return {'OK', h[1]} end
  local o = call('HMGET', K[1], 'bal', 'hold')
  local _, ud, uw, um = windows(k[5], k[6], k[7], k[8], now())
  local free = n(k[2]) - spent(k[3], ud, uw, um, k[9]) - n(k[4])
  if k[2] and more > free then return {'KEYLIM', s(max(free, 0))} end
  if more > n(o[1]) - n(o[2]) then return {'CREDIT', s(n(o[1]) - n(o[2]))} end
  call('HSET', K[3], 'a', s(total))
  call('HSET', K[1], 'hold', s(n(o[2]) + more))
  call('HSET', K[2], 'hold', s(n(k[4]) + more))
  return {'OK', s(total)}
end

-- KEYS org grants journal | ARGV id amount(+/-) actor reason. The same id with another amount or reason is a conflict.
local function grant(K, A)
  local amount = int(A[2], -MAXV, MAXV)
  if not amount or not A[1] or A[1] == '' then return {'BADARG'} end
  local was = call('HGET', K[2], A[1])
  if was then
    local before, bal, why = match(was, '^(%-?%d+):(%-?%d+):?(%x*)$')
    return {before == s(amount) and why == redis.sha1hex(A[4] or '') and 'DUP' or 'CONFLICT', bal, before}
  end
  local o = call('HMGET', K[1], 'bal', 'hold', 'seq')
  local bal, seq = n(o[1]) + amount, n(o[3]) + 1
  if bal > MAXV then return {'RANGE', 'cap', s(MAXV - n(o[1]))} end
  if bal < n(o[2]) then return {'RANGE', 'held', s(n(o[1]) - n(o[2]))} end -- credits that are held can't be taken away
  call('XADD', K[3], '*', 't', 'G', 'q', s(seq), 'h', A[1], 'u', s(-amount), 'b', s(bal), 'by', A[3] or '', 'why', A[4] or '')
  call('HSET', K[2], A[1], s(amount) .. ':' .. s(bal) .. ':' .. redis.sha1hex(A[4] or ''))
  call('HSET', K[1], 'bal', s(bal), 'seq', s(seq))
  return {'OK', s(bal)}
end

-- KEYS expiry | ARGV limit -> org, key, id of holds whose time is over by the server's clock
local function overdue(K, A)
  local prefix, found = match(K[1], '^(.*:)hx$') .. 'h:', {}
  for _, id in ipairs(call('ZRANGEBYSCORE', K[1], '-inf', s(now()), 'LIMIT', '0', A[1])) do
    local h = call('HMGET', prefix .. id, 'o', 'k')
    if h[1] then
      found[#found + 1], found[#found + 2], found[#found + 3] = h[1], h[2], id
    else
      call('ZREM', K[1], id)
    end
  end
  return found
end

-- KEYS expiry counter... | ARGV limit -> {all open holds: id org key amount expiry}, {`hold` of each counter key}, at one instant
local function holds(K, A)
  local prefix, open, counters = match(K[1], '^(.*:)hx$') .. 'h:', {}, {}
  for _, id in ipairs(call('ZRANGE', K[1], '0', s(n(A[1]) - 1))) do
    local h = call('HMGET', prefix .. id, 'o', 'k', 'a', 'x')
    open[#open + 1] = {id, h[1] or '', h[2] or '', h[3] or '0', h[4] or '0'}
  end
  for i = 2, #K do counters[i - 1] = call('HGET', K[i], 'hold') or '0' end
  return {open, counters}
end

-- KEYS account journal closing, the keys that the lines charge, the records of their requests
-- ARGV first upto cursor behind keys | bal digest used granted cost fee loss | name value of each provider, until '' |
--      what each key used in them | the length of each record
-- The lines `first` to `upto` are in the archive, durably: they leave, and what they sum up to stays. `behind` is the first
-- possible id after `cursor`. A record leaves only as it was archived. Said twice it is said once.
local function close(K, A)
  local first, upto, number = int(A[1], 1, MAXV), int(A[2], 1, MAXV), int(A[5], 0, MAXV)
  if not (first and upto and number and upto >= first) then return {'BADARG'} end
  local closed = n(call('HGET', K[3], 'seq'))
  if closed >= upto then return {'DUP'} end
  if closed ~= first - 1 then return {'GAP', s(closed)} end
  local line = call('XRANGE', K[2], A[3], A[3])[1]
  local f = {}
  for i = 1, line and #line[2] or 0, 2 do f[line[2][i]] = line[2][i + 1] end
  if f.q ~= A[2] or f.b ~= A[6] then return {'OTHER'} end -- not the lines that were archived
  local at, fields = 13, {'seq', A[2], 'cur', A[3], 'bal', A[6], 'dig', A[7], 'used', A[8], 'gr', A[9], 'cost', A[10], 'fee', A[11],
    'loss', A[12], 'held', call('HGET', K[1], 'hold') or '0', 'at', s(now())}
  while A[at] ~= '' do
    fields[#fields + 1], fields[#fields + 2] = 'p:' .. A[at], A[at + 1]
    at = at + 2
  end
  local used = {}
  for i = 1, number do -- a key that is unknown gets no hash of its own
    local was = call('HMGET', K[3 + i], 'org', 'cua')
    used[i] = was[1] and add(was[2], n(A[at + i]))
  end
  at = at + number
  call('HSET', K[3], unpack(fields))
  for i = 1, number do
    if used[i] then call('HSET', K[3 + i], 'cua', used[i]) end
  end
  call('XTRIM', K[2], 'MINID', A[4])
  for i = 4 + number, #K do
    if call('STRLEN', K[i]) == n(A[at + i - 3 - number]) then call('UNLINK', K[i]) end
  end
  return {'OK'}
end

-- ARGV unix ms -> {day, week, month} numbers of the limit windows
local function window(_, A)
  local day = floor(n(A[1]) / DAY_MS)
  return {day, week(day), month(day)}
end

local function register(name, body, flag)
  local function callback(K, A) if not call then bind() end return body(K, A) end
  redis.register_function{function_name = 'tokenway_ledger_v1_' .. name, callback = callback, flags = {flag}}
end
register('hold', hold)
register('beat', beat)
register('extend', extend)
register('grant', grant)
register('settle', settle, 'allow-oom') -- a full memory must not lose a charge; ending a hold also frees memory
register('void', void, 'allow-oom')
register('expire', expire, 'allow-oom')
register('overdue', overdue)
register('holds', holds, 'no-writes')
register('close', close, 'allow-oom') -- it frees memory
register('window', window, 'no-writes')
