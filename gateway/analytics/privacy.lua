#!lua name=tokenway_privacy_v1
-- Whether figures may be shown to anybody, see analytics/privacy.py: the rows of one cell can have thousands of organisations, of
-- which nothing but the answer leaves the store.
local function call(...) return redis.call(...) end -- redis.call itself does not exist at load time either
local WORK = 6000 -- fields of hashes, after which a call ends: other clients of the store wait for it, some two ms
local UNITED = 100 -- what a key of users that is united with others costs, in fields

-- ARGV least users, most percent, a list as MessagePack: of each cell the number of its keys of users, these, the number of its keys
-- of organisations, these
-- 1 or 0 for as many of the cells as were looked at.
local function shown(K, A)
  local least, most = tonumber(A[1]), tonumber(A[2])
  A = cmsgpack.unpack(A[3])
  local found, work, at = {}, 0, 1
  while at <= #A and work < WORK do
    local users = A[at]
    local organizations = at + users + 1
    local count = A[organizations]
    local allowed = false
    for n = at + 1, at + users do
      allowed = allowed or call('PFCOUNT', A[n]) >= least -- cheap: the store remembers the number
    end
    if not allowed and users > 1 then
      allowed = call('PFCOUNT', unpack(A, at + 1, at + users)) >= least
      work = work + users * UNITED
    end
    work = work + users
    if allowed then
      local sums, largest, total = {}, 0, 0
      for n = organizations + 1, organizations + count do
        local row = call('HGETALL', A[n])
        work = work + #row / 2 + 5
        for field = 1, #row, 2 do
          if row[field] ~= '_' then -- the number of the batch that wrote the row
            local sum = (sums[row[field]] or 0) + row[field + 1]
            sums[row[field]] = sum
            total = total + row[field + 1]
            if sum > largest then largest = sum end
          end
        end
      end
      allowed = largest * 100 <= total * most
    end
    found[#found + 1] = allowed and 1 or 0
    at = organizations + count + 1
  end
  return found
end

redis.register_function('tokenway_privacy_v1_shown', shown)
