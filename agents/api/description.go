package api

import (
	"encoding/json"
	"strings"

	"waypost/schemas"
)

// description is the OpenAPI document with the payloads' own JSON Schemas in it: the same that validate the files under
// schemas/, so that the two cannot disagree.
func (s *server) description() []byte {
	text, err := json.Marshal(s.huma.OpenAPI())
	if err != nil {
		panic(err) // of our own making, found by any test
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		panic(err)
	}
	components := doc["components"].(map[string]any)["schemas"].(map[string]any)
	for path, schema := range map[string]string{"/v1/referrals": schemas.SchemaSubmission, "/v1/messages": schemas.SchemaSubmission, "/v1/inbox/{id}/responses": schemas.SchemaReferralResponse,
		"/v1/consents/{id}/replace": schemas.SchemaConsentTerms, "/v1/consents/{id}/answer": schemas.SchemaHolderAnswer} {
		name := strings.NewReplacer(".", "_", "-", "_").Replace(schema)
		include(components, name, schema)
		post := doc["paths"].(map[string]any)[path].(map[string]any)["post"].(map[string]any)
		post["requestBody"] = map[string]any{"required": true, "content": map[string]any{
			"application/json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/" + name}}}}
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return out
}

// include moves a JSON Schema and its definitions among the components, renaming its references.
func include(components map[string]any, name, schema string) {
	text, err := schemas.JSONSchema(schema)
	if err != nil {
		panic(err)
	}
	moved := strings.ReplaceAll(string(text), `"#/$defs/`, `"#/components/schemas/`+name+`_`)
	var doc map[string]any
	if err := json.Unmarshal([]byte(moved), &doc); err != nil {
		panic(err)
	}
	if defs, ok := doc["$defs"].(map[string]any); ok {
		for k, v := range defs {
			components[name+"_"+k] = v
		}
	}
	delete(doc, "$defs")
	delete(doc, "$schema")
	delete(doc, "$id")
	components[name] = doc
}
