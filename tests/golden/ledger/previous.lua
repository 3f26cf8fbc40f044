#!lua name=tokenway_ledger_v1
-- The ledger. Amounts are integers of nano-dollars. Each function reads and checks everything first, then writes: XADD first,
-- because it is the only write that can fail, then absolute values of computed sums. `pairs` does not exist at load time.
-- Over 300 lines because it is one library: its functions share the arithmetic and must change together.
--
-- account   bal hold seq used          key  org v st(1|0|D) lim per(n|d|w|m) exp name label | hold day ud uw um ua last
-- hold      a(mount) x(expiry ms) o(rg) k(ey) | checkpoint: p(rovider) c(ost) f(ee) w(ant)
-- done      id -> type:paid:cost:fee:balance:seq
-- journal   t(ype) q(sequence) k(ey) h(id) p(rovider) c(ost) f(ee) u(ser pays) l(oss of the operator) b(alance after)
-- types     S settled  V voided (no line)  X expired  A adjusted after expiry  L loss of a failed attempt  G grant
local MAXV = 9007199254740991        -- 2^53-1 nano-dollars, $9,007,199.25: the last integer a double counts exactly
local LINE_MAX = 1000000000000000    -- 10^15, $1,000,000: the most one line carries; keeps every sum of two exact
local WINDOW_S = 7200                -- how long an id is remembered after the hour it was made in
local AHEAD_S = 3600                 -- an id from further in the future is a broken clock
local DAY_MS = 86400000
local call
call = function(...) call = redis.call; return call(...) end -- redis.call does not exist at load time either

local function s(x) if x == 0 then return '0' end return string.format('%.0f', x) end -- never '..' a number; never '-0'
local function n(x) return tonumber(x) or 0 end
local function int(x, signed)
  if type(x) ~= 'string' or #x > 17 or not string.find(x, signed and '^%-?%d+$' or '^%d+$') then return nil end
  local v = tonumber(x)
  if v > MAXV or v < -MAXV then return nil end
  return v
end
local function line_amount(x) local v = int(x); if v and v <= LINE_MAX then return v end return nil end
local function add(text, x) -- exact beyond 2^53: lifetime totals are decimal text
  text = text or '0'
  local low, high = n(string.sub(text, -15)) + x, n(string.sub(text, 1, -16))
  if low < 0 then low, high = low + 1e15, high - 1 elseif low >= 1e15 then low, high = low - 1e15, high + 1 end
  if high == 0 then return s(low) end
  return s(high) .. string.format('%015.0f', low)
end
local function now() local t = call('TIME'); return n(t[1]) * 1000 + math.floor(n(t[2]) / 1000) end
local function born_s(id) return tonumber(string.match(id or '', '^gen%-(%d%d%d%d%d%d%d%d%d%d)%-%w+$')) end
local function forgotten(born, ms) return born < ms / 1000 - WINDOW_S or born > ms / 1000 + AHEAD_S end

-- Windows in UTC: days since 1970, weeks that begin on Monday, calendar months.
local function week(day) return math.floor((day + 3) / 7) end
local function month(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local e = z - era * 146097
  local y = math.floor((e - math.floor(e / 1460) + math.floor(e / 36524) - math.floor(e / 146096)) / 365)
  local q = e - (365 * y + math.floor(y / 4) - math.floor(y / 100))
  local mp = math.floor((5 * q + 2) / 153)
  local m = mp < 10 and mp + 3 or mp - 9
  return (y + era * 400 + (m <= 2 and 1 or 0)) * 12 + m
end
-- Usage of the running day, week and month. The stored day only moves forward: a clock set back reopens nothing.
local function windows(was, ud, uw, um, ms)
  local today = math.floor(ms / DAY_MS)
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
  local t, pay, cost, fee, bal, seq = string.match(text, '^(%a):(%-?%d+):(%-?%d+):(%-?%d+):(%-?%d+):(%d+)$')
  return {t = t, pay = n(pay), cost = n(cost), fee = n(fee), bal = bal, seq = seq}
end
local function org_of(key) return string.match(key, '^{l%d+}:o:(.+)$') end
local function key_of(key) return string.match(key, '^{l%d+}:k:(%x+)$') end

-- KEYS org key hold expiry done | ARGV id policy_version amount ttl_ms
local function hold(K, A)
  local born, amount, ttl = born_s(A[1]), int(A[3]), int(A[4])
  if not (born and amount and ttl) then return {'BADARG'} end
  local open = call('HMGET', K[3], 'a', 'k')
  if open[1] then
    if open[2] ~= key_of(K[2]) then return {'BADARG'} end
    return {'DUP', open[1]}
  end
  if call('HEXISTS', K[5], A[1]) == 1 then return {'DONE'} end
  local ms = now()
  if forgotten(born, ms) then return {'STALE'} end
  local k = call('HMGET', K[2], 'org', 'v', 'st', 'lim', 'per', 'exp', 'hold', 'day', 'ud', 'uw', 'um', 'ua')
  if not k[1] or k[1] ~= org_of(K[1]) or k[3] == 'D' then return {'NOKEY'} end
  if k[2] ~= A[2] then
    return {'POLICY', unpack(call('HMGET', K[2], 'org', 'v', 'st', 'lim', 'per', 'exp', 'name', 'label'))}
  end
  if k[3] ~= '1' then return {'KEYOFF'} end
  if k[6] and n(k[6]) <= ms then return {'KEYEXP'} end
  local o = call('HMGET', K[1], 'bal', 'hold')
  local bal, org_held, key_held = n(o[1]), n(o[2]), n(k[7])
  local _, ud, uw, um = windows(k[8], k[9], k[10], k[11], ms)
  local free = n(k[4]) - spent(k[5], ud, uw, um, k[12]) - key_held
  if k[4] and amount > free then return {'KEYLIM', s(math.max(free, 0))} end
  if amount > bal - org_held then return {'CREDIT', s(bal - org_held)} end
  local expiry = s(ms + ttl)
  call('ZADD', K[4], expiry, A[1]) -- first, so that no hold can exist unswept
  call('HSET', K[3], 'a', s(amount), 'x', expiry, 'o', k[1], 'k', key_of(K[2]))
  call('HSET', K[1], 'hold', s(org_held + amount))
  call('HSET', K[2], 'hold', s(key_held + amount), 'last', s(ms))
  return {'OK', s(bal - org_held - amount)}
end

-- Everything that ends a hold has KEYS org key hold expiry done journal record stale.
-- `books` reads the hashes, so that one of the wrong type stops the call before its first write.
local function books(K)
  local o = call('HMGET', K[1], 'bal', 'hold', 'seq', 'used')
  local k = call('HMGET', K[2], 'org', 'lim', 'per', 'hold', 'day', 'ud', 'uw', 'um', 'ua')
  local h = call('HMGET', K[3], 'a', 'x', 'k', 'p', 'c', 'f', 'w')
  if k[1] and k[1] ~= org_of(K[1]) then return nil end
  if h[1] and h[3] ~= key_of(K[2]) then return nil end
  local ms = now()
  local day, ud, uw, um = windows(k[5], k[6], k[7], k[8], ms)
  local amount = n(h[1])
  return {ms = ms, bal = n(o[1]), org_held = n(o[2]) - amount, seq = n(o[3]), used = o[4] or '0',
    known = k[1], limit = k[2], per = k[3], key_held = n(k[4]) - amount, day = day, ud = ud, uw = uw, um = um, ua = k[9] or '0',
    open = h[1] and true or false, expiry = n(h[2]), provider = h[4], cost = n(h[5]), fee = n(h[6]), want = n(h[7])}
end
-- What the payer really pays: never another request's hold, never past the key's limit. The rest is the operator's loss.
local function payable(b, want)
  local room = b.bal - b.org_held
  if b.limit then room = math.min(room, n(b.limit) - spent(b.per, b.ud, b.uw, b.um, b.ua) - b.key_held) end
  local pay = math.min(want, math.max(room, 0))
  return math.max(pay, b.bal - MAXV) -- a refund cannot lift a balance beyond what a double counts
end
local function remember(K, b, id, text)
  call('HSET', K[5], id, text)
  local until_s = math.max((math.floor(born_s(id) / 3600) + 1) * 3600, math.floor(b.ms / 1000)) + WINDOW_S + 60
  call('EXPIREAT', K[5], s(until_s))
end
local function keep(K, record, ttl, pay)
  if record ~= '' then call('SET', K[7], s(pay) .. ':' .. record, 'EX', ttl) end
end
-- One posting of `line` {type provider cost fee want} after the losses of failed attempts; `was` is what expiry had charged.
local function post(K, b, id, line, losses, was)
  local key, pay = key_of(K[2]), payable(b, line.want)
  local function write(t, h, provider, cost, fee, user)
    b.seq = b.seq + 1
    call('XADD', K[6], '*', 't', t, 'q', s(b.seq), 'k', key, 'h', h, 'p', provider, 'c', s(cost), 'f', s(fee),
      'u', s(user), 'l', s(cost + fee - user), 'b', s(b.bal))
  end
  for i, loss in ipairs(losses) do write('L', id .. '/' .. i, loss.provider, loss.cost, loss.fee, 0) end
  b.bal = b.bal - pay
  if line.t ~= 'V' then write(line.t, id, line.provider, line.cost, line.fee, pay) end
  local total = was.pay + pay
  remember(K, b, id, table.concat({line.t, s(total), s(was.cost + line.cost), s(was.fee + line.fee), s(b.bal), s(b.seq)}, ':'))
  call('HSET', K[1], 'bal', s(b.bal), 'hold', s(b.org_held), 'seq', s(b.seq), 'used', add(b.used, pay))
  if b.known then
    call('HSET', K[2], 'hold', s(b.key_held), 'day', s(b.day), 'ud', s(math.max(b.ud + pay, 0)),
      'uw', s(math.max(b.uw + pay, 0)), 'um', s(math.max(b.um + pay, 0)), 'ua', add(b.ua, pay))
  end
  call('DEL', K[3])
  redis.pcall('ZREM', K[4], id) -- last and unchecked: a broken sweeper's list must not stop a posting half-way
  return total
end
local NOTHING = {pay = 0, cost = 0, fee = 0}
-- Provider, cost, fee, want: fours from ARGV[first]; nil when one of them is junk.
local function postings(A, first)
  local list = {}
  if (#A - first + 1) % 4 ~= 0 then return nil end
  for i = first, #A, 4 do
    local p = {provider = A[i], cost = line_amount(A[i + 1]), fee = line_amount(A[i + 2]), want = line_amount(A[i + 3])}
    if not (p.cost and p.fee and p.want) then return nil end
    list[#list + 1] = p
  end
  return list
end
local function put_aside(K, b, id, A, first)
  call('HSETNX', K[8], id, s(b.ms) .. ' ' .. org_of(K[1]) .. ' ' .. key_of(K[2]) .. ' ' .. table.concat(A, ' ', first))
  return {'STALE'}
end

-- ARGV id record record_ttl_s | provider cost fee want of the answer | the same of each failed attempt
local function settle(K, A)
  local id, ttl, list = A[1], int(A[3]), postings(A, 4)
  if not (born_s(id) and ttl and ttl > 0 and list and #list > 0) then return {'BADARG'} end
  local was = split(call('HGET', K[5], id))
  if was and was.t ~= 'X' then return {'DUP', s(was.pay), was.bal, was.seq} end
  local b = books(K)
  if not b then return {'BADARG'} end
  if not was and not b.open and forgotten(born_s(id), b.ms) then return put_aside(K, b, id, A, 4) end
  local line, tag = table.remove(list, 1), b.open and 'OK' or 'NOHOLD'
  line.t = 'S'
  if was then -- the sweeper charged the last checkpoint; post the difference, once
    line.t, line.cost, line.fee, line.want = 'A', line.cost - was.cost, line.fee - was.fee, line.want - was.pay
    tag = 'LATE'
  end
  local paid = post(K, b, id, line, list, was or NOTHING)
  keep(K, A[2], A[3], paid)
  return {tag, s(paid), s(b.bal), s(b.seq)}
end

-- ARGV id record record_ttl_s | provider cost fee want of each failed attempt. Also ends a hold that was never made.
local function void(K, A)
  local id, ttl, list = A[1], int(A[3]), postings(A, 4)
  if not (born_s(id) and ttl and ttl > 0 and list) then return {'BADARG'} end
  local was = split(call('HGET', K[5], id))
  if was and was.t ~= 'X' then return {'DUP', s(was.pay), was.bal, was.seq} end
  local b = books(K)
  if not b then return {'BADARG'} end
  if not was and not b.open and forgotten(born_s(id), b.ms) then
    if #list > 0 then return put_aside(K, b, id, A, 4) end
    return {'OK', '0', s(b.bal), s(b.seq)}
  end
  local line = {t = 'V', provider = 'none', cost = 0, fee = 0, want = 0}
  if was and (was.pay > 0 or was.cost > 0 or was.fee > 0) then -- nothing was delivered after all: give the checkpoint back
    line.t, line.cost, line.fee, line.want = 'A', -was.cost, -was.fee, -was.pay
  end
  if b.open or #list > 0 or line.t == 'A' then
    post(K, b, id, line, list, was or NOTHING)
  else
    remember(K, b, id, table.concat({'V', '0', '0', '0', s(b.bal), s(b.seq)}, ':'))
  end
  keep(K, A[2], A[3], 0)
  return {'OK', '0', s(b.bal), s(b.seq)}
end

-- ARGV id. For the sweeper: the server's clock decides; two sweepers do it once.
local function expire(K, A)
  local b = books(K)
  if not b then return {'BADARG'} end
  if not b.open then
    call('ZREM', K[4], A[1])
    return {'GONE'}
  end
  if b.expiry > b.ms then return {'LIVE'} end
  local line = {t = 'X', provider = b.provider or 'none', cost = b.cost, fee = b.fee, want = b.want}
  local paid = post(K, b, A[1], line, {}, NOTHING)
  return {'OK', s(paid), s(b.bal), s(b.seq)}
end

-- KEYS hold expiry | ARGV id ttl_ms provider cost fee want: a running stream says what it has delivered so far
local function beat(K, A)
  local ttl, p = int(A[2]), postings(A, 3)
  if not (ttl and p and #p == 1) then return {'BADARG'} end
  if call('EXISTS', K[1]) == 0 then return {'GONE'} end
  local expiry = s(now() + ttl)
  call('ZADD', K[2], expiry, A[1])
  call('HSET', K[1], 'x', expiry, 'p', p[1].provider, 'c', s(p[1].cost), 'f', s(p[1].fee), 'w', s(p[1].want))
  return {'OK'}
end

-- KEYS org key hold | ARGV total: grow a running hold to this amount; saying it twice is saying it once
local function extend(K, A)
  local total = int(A[1])
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
  if k[2] and more > free then return {'KEYLIM', s(math.max(free, 0))} end
  if more > n(o[1]) - n(o[2]) then return {'CREDIT', s(n(o[1]) - n(o[2]))} end
  call('HSET', K[3], 'a', s(total))
  call('HSET', K[1], 'hold', s(n(o[2]) + more))
  call('HSET', K[2], 'hold', s(n(k[4]) + more))
  return {'OK', s(total)}
end

-- KEYS org grants journal | ARGV id amount(+/-) actor reason. The same id with another amount or reason is a conflict.
local function grant(K, A)
  local amount = int(A[2], true)
  if not amount or not A[1] or A[1] == '' then return {'BADARG'} end
  local was = call('HGET', K[2], A[1])
  if was then
    local before, bal, why = string.match(was, '^(%-?%d+):(%-?%d+):?(%x*)$')
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
  local prefix, found = string.match(K[1], '^(.*:)hx$') .. 'h:', {}
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
  local prefix, open, counters = string.match(K[1], '^(.*:)hx$') .. 'h:', {}, {}
  for _, id in ipairs(call('ZRANGE', K[1], '0', s(n(A[1]) - 1))) do
    local h = call('HMGET', prefix .. id, 'o', 'k', 'a', 'x')
    open[#open + 1] = {id, h[1] or '', h[2] or '', h[3] or '0', h[4] or '0'}
  end
  for i = 2, #K do counters[i - 1] = call('HGET', K[i], 'hold') or '0' end
  return {open, counters}
end

-- ARGV unix ms -> {day, week, month} numbers of the limit windows
local function window(_, A)
  local day = math.floor(n(A[1]) / DAY_MS)
  return {day, week(day), month(day)}
end

local function register(name, callback, flag)
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
register('window', window, 'no-writes')
