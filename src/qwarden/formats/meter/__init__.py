"""The flow meter: packet records in, finished flows out. Start in `meter.meter_packets`."""
