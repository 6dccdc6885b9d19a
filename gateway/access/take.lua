-- KEYS: hash of requests by tick, hash of tokens by tick, sorted set of streams by end of lease.
-- The same steps as MemoryCounts.take; a test compares them.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tick_ms, ticks, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local need, stream = tonumber(ARGV[4]), ARGV[5]
local limits = {tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])}
local tick = math.floor(now / tick_ms)

local function window(key)
  local found, amounts, order, total = redis.call('HGETALL', key), {}, {}, 0
  for i = 1, #found, 2 do
    local at, amount = tonumber(found[i]), tonumber(found[i + 1])
    if at <= tick - ticks or at > tick + ticks then  -- old, or before the clock was set back
      redis.call('HDEL', key, found[i])
    else
      total = total + amount
      amounts[at] = amount
      order[#order + 1] = at
    end
  end
  table.sort(order)
  return {amounts = amounts, order = order, total = total}
end

local function free_after(window, amount)
  local freed = 0
  for _, at in ipairs(window.order) do
    freed = freed + window.amounts[at]
    if freed >= amount then return (at + ticks) * tick_ms - now end
  end
  return 0
end

local function over(amount, limit) return limit < 0 and 0 or amount - limit end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[3], now + 2 * lease_ms, '+inf')
local requests, tokens = window(KEYS[1]), window(KEYS[2])
local streams = redis.call('ZCARD', KEYS[3])
local refused, wait = '', 0
if over(requests.total + 1, limits[1]) > 0 then
  refused, wait = 'requests', free_after(requests, over(requests.total + 1, limits[1]))
elseif over(tokens.total + need, limits[2]) > 0 then
  refused, wait = 'tokens', free_after(tokens, over(tokens.total + need, limits[2]))
elseif stream ~= '' and over(streams + 1, limits[3]) > 0 then
  refused, wait = 'streams', tonumber(ARGV[9])
else
  redis.call('HINCRBY', KEYS[1], tick, 1)
  redis.call('HINCRBY', KEYS[2], tick, need)
  redis.call('PEXPIRE', KEYS[1], ticks * tick_ms)
  redis.call('PEXPIRE', KEYS[2], ticks * tick_ms)
  if stream ~= '' then
    redis.call('ZADD', KEYS[3], now + lease_ms, stream)
    redis.call('PEXPIRE', KEYS[3], 2 * lease_ms)
    streams = streams + 1
  end
  requests, tokens = window(KEYS[1]), window(KEYS[2])
end
return {refused, wait, requests.total, tokens.total, streams,
  free_after(requests, requests.total), free_after(tokens, tokens.total), tick}
