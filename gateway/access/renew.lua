-- Lets the lease of the stream ARGV[2] in KEYS[1] end ARGV[1] ms from now, if it is there.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
