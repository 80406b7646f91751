"""Published names inside the residual CBAM block that DNANet and MSHNet share."""

from .renaming import Names

CBAM_BLOCK: Names = {
    'body.0': 'conv1',
    'body.1': 'bn1',
    'body.3': 'conv2',
    'body.4': 'bn2',
    'channel_gate.squeeze': 'ca.fc1',
    'channel_gate.expand': 'ca.fc2',
    'spatial_gate.conv': 'sa.conv1',
    'shortcut.0': 'shortcut.0',
    'shortcut.1': 'shortcut.1',
}
