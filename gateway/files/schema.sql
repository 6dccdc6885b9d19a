CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL,
    name TEXT NOT NULL, purpose TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    created_s INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stores (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL,
    name TEXT NOT NULL, metadata TEXT NOT NULL, created_s INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS store_files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    store_id TEXT NOT NULL REFERENCES stores(id) ON DELETE CASCADE,
    file_id TEXT NOT NULL REFERENCES files(id) ON DELETE CASCADE,
    created_s INTEGER NOT NULL, batch_id TEXT NOT NULL, attributes TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT NOT NULL, UNIQUE (store_id, file_id));
CREATE INDEX IF NOT EXISTS store_files_by_status ON store_files(status, number);

-- Where a record was in its list. A client that deletes what it lists asks for what comes after the
-- record that it has just deleted.
CREATE TABLE IF NOT EXISTS removed (
    list TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, removed_s INTEGER NOT NULL,
    PRIMARY KEY (list, id));
CREATE INDEX IF NOT EXISTS removed_by_time ON removed(removed_s);
CREATE TRIGGER IF NOT EXISTS removed_for_an_hour AFTER INSERT ON removed BEGIN
    DELETE FROM removed WHERE removed_s < new.removed_s - 3600; END;
CREATE TRIGGER IF NOT EXISTS files_removed AFTER DELETE ON files BEGIN
    INSERT OR REPLACE INTO removed
    VALUES (old.tenant, old.id, old.number, strftime('%s', 'now')); END;
CREATE TRIGGER IF NOT EXISTS stores_removed AFTER DELETE ON stores BEGIN
    INSERT OR REPLACE INTO removed
    VALUES (old.tenant, old.id, old.number, strftime('%s', 'now')); END;
CREATE TRIGGER IF NOT EXISTS store_files_removed AFTER DELETE ON store_files BEGIN
    INSERT OR REPLACE INTO removed
    VALUES (old.store_id, old.file_id, old.number, strftime('%s', 'now')); END;
