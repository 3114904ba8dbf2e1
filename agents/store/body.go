package store

// addBody keeps the sealed body of a message that was just entered. A message without one has no row.
func (tx *Tx) addBody(table Table, id string, body, wrapped []byte) error {
	if body == nil {
		return nil
	}
	_, err := tx.exec(`INSERT INTO `+string(table)+`_bodies (message, body, wrapped) VALUES ((SELECT n FROM `+string(table)+` WHERE id = ?), ?, ?)`, id, body, wrapped)
	return err
}

// setBody gives a message another body, or none.
func (tx *Tx) setBody(table Table, id string, body, wrapped []byte) error {
	if err := tx.eraseBodies(table, `id = ?`, id); err != nil {
		return err
	}
	return tx.addBody(table, id, body, wrapped)
}

// eraseBodies destroys the bodies and file keys of some messages of a table.
func (tx *Tx) eraseBodies(table Table, where string, args ...any) error {
	n, err := tx.exec(`DELETE FROM `+string(table)+`_bodies WHERE message IN (SELECT n FROM `+string(table)+` WHERE `+where+`)`, args...)
	tx.erases = tx.erases || n > 0
	return err
}
