// A module of its own: only the comparison speaks AMQP, and the product's module must not carry its client.
module waypost-bench-rabbitmq

go 1.26.0

require (
	filippo.io/age v1.3.2
	github.com/rabbitmq/amqp091-go v1.12.0
)

require (
	filippo.io/hpke v0.4.0 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
